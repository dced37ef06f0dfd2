"""README's code blocks run, in order, in one empty folder; its table and its links are true.
The pages for users of Stable-Baselines3 and of Gymnasium run as one program each.

Training is shortened: ``memrl train`` gets fewer steps and episodes and a task of five steps in
MiniGrid's place, ``fit`` fewer sequences, ``evaluate`` and ``watch`` fewer episodes, a sweep fewer
values. ``make`` lines are checked against the Makefile instead of run.
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
SHORTER = {
    "train": ["total_steps=512", "env.num=4", "agent.steps=16", "agent.bptt=16", "threads=1",
              "evaluate.episodes=4"],
    "fit": ["sequences=16", "learner.batches=1", "evaluate.sequences=2", "threads=1"],
    "evaluate": ["episodes=4"],
    "watch": ["episodes=4"],
}  # fmt: skip


def shortened(line: str) -> list[str]:
    """A line of README as arguments of ``python -m memrl``."""
    program, command, *words = line.split()
    assert program == "memrl", f"README runs {program}: teach this test what to do with it"
    if "--resume" in words:
        return [command, *[w for w in words if not w.startswith("total_steps")], "total_steps=640"]
    words = [re.sub(r"^env=MiniGrid-.*", "env=probe/Recall-v0", word) for word in words]
    named = any(word.startswith(("env=", "+run=")) for word in words)
    words += ["env=probe"] if "-m" in words and not named else []
    return [command, *words, *SHORTER.get(command, [])]


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


def test_every_block_runs(tmp_path):
    for index, (language, text) in enumerate(BLOCKS):
        if language == "python":
            named = re.match(r"# file: (\S+)\n", text)
            script = tmp_path / (named[1] if named else f"block{index}.py")
            script.write_text(text)
            run([str(script)], tmp_path)
            continue
        assert language == "bash"
        for line in text.strip().splitlines():
            if line.startswith("make "):
                target = line.split()[1]
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            elif " -m " in line:
                line = line.replace("=lstm,gru,dnc,ntm", "=gru,ntm").replace("=1,2,3", "=1")
                run(["-m", "memrl", *shortened(line)], tmp_path)
            else:
                run(["-m", "memrl", *shortened(line)], tmp_path)


@pytest.mark.parametrize("name", registry.names())
def test_the_table_of_memories_is_measured(name):
    facts = describe(name)
    state = f"{facts['state_bytes']:,} B"
    cost = f"{facts['parameters']:,} | {facts['flop_per_step']:,}"
    row = f"| {name} | {facts['paper'] or '–'} | {state} | {cost} | `{facts['file']}` |"
    assert row in README, row


def test_the_table_of_memories_names_each_once():
    assert re.findall(r"^\| (\w+) \|.*`memrl/memory/\w+\.py` \|$", README, re.M) == registry.names()


def test_a_memory_of_your_own_can_stand_in_the_package(tmp_path):
    nothing_built = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "memrl", tmp_path / "memrl", ignore=nothing_built)
    text = next(text for _, text in BLOCKS if text.startswith("# file: leaky.py"))
    memory = tmp_path / "memrl" / "memory"
    (memory / "leaky.py").write_text(text)
    menu = memory / "__init__.py"
    menu.write_text("from memrl.memory.leaky import Leaky\n" + menu.read_text())
    (tmp_path / "memrl" / "configs" / "memory" / "leaky.yaml").write_text("name: leaky\n")
    run(["-m", "memrl", "config", "memory=leaky"], tmp_path)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("name", ["sb3", "envs"])
def test_a_page_with_examples_runs(tmp_path, name):
    page = (ROOT / "docs" / f"{name}.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "page.py").write_text("\n".join(blocks))
    run(["page.py"], tmp_path)


def test_the_page_of_plug_ins_runs(tmp_path):
    """Its files are written, its commands and programs run one after the other in one process."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    script = [IN_ONE_PROCESS]
    for language, text in re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL):
        if named := re.match(r"# file: (\S+)\n", text):
            (tmp_path / named[1]).write_text(text)
        elif language == "python":
            script.append(text)
        elif language == "bash":
            script += [f"memrl({shortened(line)})" for line in text.strip().splitlines()]
    (tmp_path / "page.py").write_text("\n".join(script))
    run(["page.py"], tmp_path)


IN_ONE_PROCESS = """
import sys

def memrl(arguments):
    from memrl.cli.app import main
    sys.argv = ["memrl", *arguments]
    try:
        main()
    except SystemExit as exit_:
        assert exit_.code == 0, arguments
"""
