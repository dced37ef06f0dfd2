"""What every MiniGrid environment on tensors shares: arguments, generator, rewards, pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.render import TILE_SIZE, render_grid
from memrl.rollout.env import BatchedEnv


class MiniGridEnv(BatchedEnv, ABC):
    """B environments of one MiniGrid id.

    Args:
        id: of the task.
        num_envs: B, at least 1.
        device: of all tensors and random numbers.

    Raises:
        ValueError: ``num_envs`` is less than 1.
    """

    exact_resume = True
    _engine: GridEngine

    def __init__(self, id: str, num_envs: int, device: torch.device | str) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}, allowed: at least 1")
        self.id, self.num_envs, self.device = id, num_envs, torch.device(device)
        self._generator = torch.Generator(self.device)
        self._generator.seed()
        self._kept: Tensor | None = None

    @abstractmethod
    def _grids(self, index: slice) -> GridState:
        """The current states of some environments."""

    def keep_task(self, rows: Tensor | None) -> None:
        self._kept = rows

    def _next_start(self, drawn: Tensor, present: Tensor) -> Tensor:
        """Indices of starts [B]: those drawn, or the present one in rows that keep their task."""
        return drawn if self._kept is None else torch.where(self._kept, present, drawn)

    def render(self, index: int = 0, tile_size: int = TILE_SIZE) -> NDArray[np.uint8]:
        """The whole grid of one environment, with visible cells highlighted: uint8 [H, W, 3]."""
        return render_grid(self._engine, self._grids(slice(index, index + 1)), tile_size=tile_size)


def rewards(max_steps: int, device: torch.device) -> Tensor:
    """The reward of a success by its step, 1 - 0.9 · t / max_steps: float32 [max_steps + 1]."""
    t = torch.arange(max_steps + 1, dtype=torch.float64)
    return (1 - 0.9 * (t / max_steps)).float().to(device)
