"""An encoder of one's own as a file, and a folder in which it is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from memrl.nn.encoder import ENCODERS

MENUS = (ENCODERS,)
GROUPS = ()  # of Hydra, whose nodes tests add

FLAT = '''
from typing import Annotated

import torch
from annotated_types import Ge
from gymnasium import spaces
from torch import Tensor, nn

from memrl.nn import Encoder
from memrl.rollout.env import Obs


class Flat(Encoder):
    """All numbers of an observation through one layer, standardised by the largest seen."""

    def __init__(
        self,
        observation_space: spaces.Dict,
        encoder_dim: int,
        *,
        times: Annotated[int, Ge(1)] = 1,
        squash: bool = True,
    ) -> None:
        super().__init__()
        self.shapes = {key: space.shape or () for key, space in observation_space.items()}
        self.features_dim = times * encoder_dim
        self.squash = squash
        size = sum(torch.Size(shape).numel() for shape in self.shapes.values())
        self.mix = nn.Linear(size, self.features_dim)
        self.register_buffer("largest", torch.ones(()))

    def forward(self, obs: Obs) -> Tensor:
        x = self.mix(self._numbers(obs) / self.largest)
        return torch.tanh(x) if self.squash else x

    def update(self, obs: Obs, valid: Tensor) -> None:
        self.largest.copy_(torch.maximum(self.largest, self._numbers(obs)[valid].abs().max()))

    def _numbers(self, obs: Obs) -> Tensor:
        rows = [
            obs[key].float().reshape(*obs[key].shape[: obs[key].dim() - len(shape)], -1)
            for key, shape in self.shapes.items()
        ]
        return torch.cat(rows, dim=-1)
'''


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
