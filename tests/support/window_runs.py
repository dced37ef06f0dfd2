"""Sizes and inputs for tests of memories that read a window of past inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.memory import MemoryCore, Unrolled

T, B, N, I, D = 11, 3, 5, 7, 2  # noqa: E741  steps, rows, window, input width, inner width


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def never(length: int = T) -> Tensor:
    """No step starts an episode: bool [T, B]."""
    return torch.zeros(length, B, dtype=torch.bool)


def unroll(core: MemoryCore, x: Tensor) -> Unrolled:
    """One episode a row, from its first step."""
    return core(x, core.initial_state(B), never(len(x)))
