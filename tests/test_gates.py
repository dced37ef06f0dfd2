"""The gates bite: shapes are checked at run time, warnings are errors, tools see the whole tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from memrl.memory import registry

ROOT = Path(__file__).parent.parent


def python_files() -> list[Path]:
    folders = ("memrl", "agents", "configs", "envs")
    found = {path.resolve() for folder in folders for path in (ROOT / folder).glob("**/*.py")}
    return sorted(found)


def unreadable_shapes(source: str) -> list[str]:
    """The sizes in ``Float[Tensor, "T B 3F"]`` that are no expression: 3F must be 3*F."""
    nodes = [node.slice for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Subscript)]
    pairs = [node.elts for node in nodes if isinstance(node, ast.Tuple) and len(node.elts) == 2]
    shapes = [
        second.value
        for first, second in pairs
        if isinstance(first, ast.Name)
        and first.id == "Tensor"
        and isinstance(second, ast.Constant)
        and isinstance(second.value, str)
    ]
    return [size for shape in shapes for size in shape.split() if not is_expression(size)]


def is_expression(size: str) -> bool:
    try:
        ast.parse(size.lstrip("*#?_") or "1", mode="eval")
    except SyntaxError:
        return False
    return True


def test_every_annotated_shape_can_be_read():
    bad = {path.name: unreadable_shapes(path.read_text()) for path in python_files()}
    assert not {name: sizes for name, sizes in bad.items() if sizes}
    planted = 'def f(x: Float[Tensor, "*N 3F D"], y: Float[Tensor, "3*F #B ..."]): pass'
    assert unreadable_shapes(planted) == ["3F"]


@pytest.mark.slow
def test_a_call_with_wrong_shapes_raises():
    core = registry.build("lstm", 3)
    start = torch.zeros(5, dtype=torch.bool)
    x = torch.zeros(5, 3)
    core.step(x, core.initial_state(5), start)
    with pytest.raises(Exception, match="start"):
        core.step(x, core.initial_state(5), start.unsqueeze(1))


def test_a_warning_is_an_error():
    with pytest.raises(UserWarning, match="planted"):
        warnings.warn("planted", stacklevel=1)


@pytest.mark.slow
def test_an_unknown_marker_is_an_error(tmp_path):
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.slwo\ndef test(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path,
         "-p", "no:cacheprovider", tmp_path],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "'slwo' not found in `markers`" in done.stdout


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted") / "planted.py"
    path.write_text('"""Two faults."""\n\nimport os\n\nx: int = "one"\n')
    return path


def test_ruff_finds_a_planted_fault_and_sees_every_file(planted):
    ruff = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml"]
    done = subprocess.run([*ruff, planted], capture_output=True, text=True)
    assert done.returncode == 1
    assert "F401" in done.stdout
    shown = subprocess.run([*ruff, "--show-files", ROOT], capture_output=True, text=True).stdout
    assert {str(path) for path in python_files()} <= set(shown.split())


@pytest.mark.slow  # make check runs mypy itself
def test_mypy_finds_a_planted_fault_and_sees_every_file(planted):
    mypy = [sys.executable, "-m", "mypy"]
    done = subprocess.run(
        [*mypy, "--config-file", ROOT / "pyproject.toml", planted], cwd=planted.parent,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Incompatible types in assignment" in done.stdout
    done = subprocess.run(mypy, cwd=ROOT, capture_output=True, text=True)
    seen = re.search(r"(\d+) source files", done.stdout)
    assert seen is not None, done.stdout + done.stderr
    # mypy counts folders without an __init__.py too: the groups of configs.
    groups = [path for path in (ROOT / "configs").iterdir() if [*path.glob("*.yaml")]]
    assert int(seen[1]) == len(python_files()) + len(groups)
