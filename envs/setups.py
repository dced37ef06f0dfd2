"""Random episode setups, drawn ahead of time: every environment has a current and a next one.

A setup is what an episode draws before its first step: a shuffled deck, a board, a cue. Drawing
one can cost more than a step, and only the device knows which environments need a new one. So each
environment owns two rows of a table, for its current and its next setup, and a new episode only
moves a pointer. Every step draws new next setups for a slice of the environments; the slices cover
all environments within the shortest episode. The cost is therefore small and constant, no step
waits for the device, and no setup is used twice. Replacing a next setup that was never used does
no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, final

import torch
from torch import Tensor

Tensors: TypeAlias = dict[str, Tensor]


@final
@dataclass(frozen=True)
class Setups:
    """Two setups per environment, and a pointer to the current one.

    `refresh` writes the tables in place; all other methods leave the instance unchanged.
    """

    tables: Tensors  # each [2B, ...]; env b owns the rows b and B + b
    row: Tensor  # int64 [B]: the row of the current setup
    turn: Tensor  # int64 []: the environment whose next setup is replaced next

    def __getitem__(self, name: str) -> Tensor:
        """One entry of every current setup: a new tensor [B, ...]."""
        return self.tables[name].index_select(0, self.row)

    def at(self, name: str, index: Tensor) -> Tensor:
        """One item of each environment's entry [B, K]: ``entry[b, index[b]]`` as [B]."""
        table = self.tables[name]
        flat = torch.add(index, self.row, alpha=table.shape[1])
        return table.flatten().index_select(0, flat)

    def refresh(self, draw: Callable[[int], Tensors], size: int) -> Setups:
        """Replace the next setups of ``size`` environments, continuing after the last slice."""
        num_envs = self.row.shape[0]
        envs = (self.turn + torch.arange(size, device=self.row.device)) % num_envs
        rows = self._next_row().index_select(0, envs)
        for name, fresh in draw(size).items():
            self.tables[name].index_copy_(0, rows, fresh)
        return replace(self, turn=(self.turn + size) % num_envs)

    def advance(self, ended: Tensor) -> Setups:
        """Move the environments whose episode ended (bool [B]) to their next setup."""
        return replace(self, row=torch.where(ended, self._next_row(), self.row))

    def _next_row(self) -> Tensor:
        num_envs = self.row.shape[0]
        return (self.row + num_envs) % (2 * num_envs)


def draw_setups(draw: Callable[[int], Tensors], num_envs: int, device: torch.device) -> Setups:
    """The first setups of B environments; ``draw(n)`` returns n of them as tensors [n, ...]."""
    turn = torch.zeros((), dtype=torch.int64, device=device)
    return Setups(draw(2 * num_envs), torch.arange(num_envs, device=device), turn)
