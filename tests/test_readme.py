"""README's table and links are true, and its memory can stand in the package. Its code blocks run
in ``tests/docs``, with those of all other pages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memrl.cli.lists import describe
from memrl.memory import registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("name", registry.names())
def test_the_table_of_memories_is_measured(name):
    facts = describe(name)
    state = f"{facts['state_bytes']:,} B"
    cost = f"{facts['parameters']:,} | {facts['flop_per_step']:,}"
    row = f"| {name} | {facts['paper'] or '–'} | {state} | {cost} | `{facts['file']}` |"
    assert row in README, row


def test_the_table_of_memories_names_each_once():
    assert re.findall(r"^\| (\w+) \|.*`memrl/memory/\w+\.py` \|$", README, re.M) == registry.names()


@pytest.mark.slow
def test_a_memory_of_your_own_can_stand_in_the_package(tmp_path):
    nothing_built = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "memrl", tmp_path / "memrl", ignore=nothing_built)
    text = next(text for _, text in BLOCKS if text.startswith("# file: leaky.py"))
    inside = "from memrl.memory.core import MemoryCore\nfrom memrl.memory.registry import register"
    text = text.replace("from memrl.memory import MemoryCore", inside)
    text = text.replace("class Leaky(", '@register("leaky")\nclass Leaky(')
    memory = tmp_path / "memrl" / "memory"
    (memory / "leaky.py").write_text(text)
    menu = memory / "__init__.py"
    menu.write_text("from memrl.memory.leaky import Leaky\n" + menu.read_text())
    (tmp_path / "memrl" / "configs" / "memory" / "leaky.yaml").write_text("name: leaky\n")
    run(["-m", "memrl", "config", "memory=leaky"], tmp_path)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
