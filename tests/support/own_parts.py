"""The encoder, the bonus and the agent of docs/plugins.md, and a folder to find them in."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from memrl.agents.registry import AGENTS
from memrl.bonus import BONUSES
from memrl.nn.encoder import ENCODERS

MENUS = (AGENTS, BONUSES, ENCODERS)
GROUPS = ("agent",)  # of Hydra, whose nodes tests add

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def documented(file: str) -> str:
    """A file of docs/plugins.md."""
    (text,) = re.findall(rf"```python\n# file: {re.escape(file)}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


FLAT, CHANGE, A2C = (documented(file) for file in ("flat.py", "change.py", "a2c.py"))


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what a test imports and registers is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for menu in MENUS:
        monkeypatch.setattr(menu, "_classes", dict(menu._classes))
        monkeypatch.setattr(menu, "_given", {})
    for group in GROUPS:
        node = ConfigStore.instance().repo.get(group, {})
        monkeypatch.setitem(ConfigStore.instance().repo, group, dict(node))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def offer(folder: Path, group: str, **entries: str) -> None:
    """Install a package of version 1.2 in a folder of Python's path; it offers classes by name."""
    info = folder / "own_parts-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 1.2\n")
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
