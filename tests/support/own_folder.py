"""A folder of a person's own code; what a test imports from it is forgotten afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
from hydra.core.config_store import ConfigStore

import memrl.memory.registry
import memrl.tasks
from memrl.agents.registry import AGENTS
from memrl.bonus import BONUSES
from memrl.nn.encoder import ENCODERS

MENUS = (AGENTS, BONUSES, ENCODERS, memrl.memory.registry.REGISTRY, memrl.tasks.REGISTRY)
GROUPS = ("agent", "memory", "task")  # of Hydra, whose nodes are added for classes without a YAML


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what a test imports and registers is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for menu in MENUS:
        monkeypatch.setattr(menu, "_classes", dict(menu._classes))
        monkeypatch.setattr(menu, "_given", {})
    for group in GROUPS:
        nodes = ConfigStore.instance().repo.get(group, {})
        monkeypatch.setitem(ConfigStore.instance().repo, group, dict(nodes))
    modules, ids = set(sys.modules), set(gymnasium.registry)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if _is_below(name, tmp_path):
            del sys.modules[name]
    for id in set(gymnasium.registry) - ids:
        del gymnasium.registry[id]


def _is_below(name: str, folder: Path) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)
