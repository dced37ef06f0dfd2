"""A memory, a task and an environment of one's own, as files; and packages as installed."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium

LEAKY = '''
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from memrl.memory import MemoryCore


class LeakyState(NamedTuple):
    trace: Tensor  # [B, H]


class Leaky(MemoryCore[LeakyState]):
    """A running mean of features."""

    def __init__(
        self,
        in_dim: int,
        *,
        hidden_dim: Annotated[int, Ge(1)] = 5,
        decay: Annotated[float, Gt(0), Lt(1)] = 0.9,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.read, self.decay = nn.Linear(in_dim, hidden_dim), decay

    def initial_state(self, batch_size: int) -> LeakyState:
        return LeakyState(self.read.weight.new_zeros(batch_size, self.out_dim))

    def _update(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        trace = self.decay * state.trace + (1 - self.decay) * torch.tanh(self.read(x))
        return trace, LeakyState(trace)
'''

FIRST_BIT = '''
import torch

from memrl.tasks import Batch, Task


class FirstBit(Task):
    """Say the first bits at the last step."""

    kind = "bits"

    def __init__(self, *, bits: int = 1, min_length: int = 1, max_length: int = 3) -> None:
        super().__init__(in_dim=bits, out_dim=bits, min_length=min_length, max_length=max_length)

    def sample(self, batch, length, generator):
        x = torch.randint(0, 2, (length, batch, self.in_dim), generator=generator).float()
        mask, start = torch.zeros(2, length, batch, dtype=torch.bool)
        mask[-1], start[0] = True, True
        return Batch(x, x[:1].expand_as(x), mask, start)
'''

CORRIDOR = '''
import gymnasium
import numpy as np


class Corridor(gymnasium.Env):
    """A bit is shown once; the last action must repeat it."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int = 2) -> None:
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.cue = 0, int(self.np_random.integers(2))
        return np.array([self.cue, 0], np.float32), {}

    def step(self, action):
        self.t += 1
        over = self.t >= self.length
        return np.array([0, over], np.float32), float(over and action == self.cue), over, False, {}


gymnasium.register("Corridor-v0", Corridor)
'''


def forget(*modules: str) -> None:
    """As in another process, in which nobody has imported them."""
    for name in modules:
        del sys.modules[name]
    gymnasium.registry.pop("Corridor-v0", None)


def install(site: Path, name: str, entries: str, **modules: str) -> None:
    """A package of version 1.2 in a folder of Python's path, as `importlib.metadata` sees one."""
    info = site / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entries)
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)
