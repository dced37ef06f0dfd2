"""What chance decides about episodes, drawn ahead of time: a playing and a waiting deal per copy.

Drawing a new episode can cost more than a step (shuffling a deck, laying out a board), and which
copies need one is known only on the device. So every copy owns two rows of a table: the deal that
it plays and the one that waits for its next episode. Beginning an episode moves a pointer. At
every step the waiting setups of another slice of copies are drawn anew; the slices are as large as
needed to come round within the min_length episode. So the cost is small and even, nothing waits for
the device, and no deal is played twice: a deal that was never looked at may be replaced freely.
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
    """Every copy's two setups, and a pointer to the one in play.

    The tables are written in place by `refresh`; everything else leaves an instance as it was.
    """

    tables: Tensors  # each [2B, ...]; copy b owns the rows b and B + b
    row: Tensor  # int64 [B]: the row in play
    turn: Tensor  # int64 []: the copy whose waiting deal is drawn anew next

    def __getitem__(self, name: str) -> Tensor:
        """What was dealt to each copy, all of it: a new tensor [B, ...]."""
        return self.tables[name].index_select(0, self.row)

    def at(self, name: str, index: Tensor) -> Tensor:
        """One item of each copy's deal [B, K]: ``deal[b, index[b]]`` as [B]; 0 ≤ index < K."""
        table = self.tables[name]
        flat = torch.add(index, self.row, alpha=table.shape[1])
        return table.flatten().index_select(0, flat)

    def refresh(self, draw: Callable[[int], Tensors], size: int) -> Setups:
        """Draw the waiting setups of the next ``size`` copies anew, those after the last ones."""
        copies = self.row.shape[0]
        whose = (self.turn + torch.arange(size, device=self.row.device)) % copies
        waiting = self._waiting().index_select(0, whose)
        for name, fresh in draw(size).items():
            self.tables[name].index_copy_(0, waiting, fresh)
        return replace(self, turn=(self.turn + size) % copies)

    def advance(self, ended: Tensor) -> Setups:
        """Copies whose episode ended (bool [B]) turn to the deal that waited for them."""
        return replace(self, row=torch.where(ended, self._waiting(), self.row))

    def _waiting(self) -> Tensor:
        copies = self.row.shape[0]
        return (self.row + copies) % (2 * copies)


def draw_setups(draw: Callable[[int], Tensors], copies: int, device: torch.device) -> Setups:
    """First setups for ``copies`` copies; ``draw(n)`` makes n setups: tensors [n, ...] by name."""
    turn = torch.zeros((), dtype=torch.int64, device=device)
    return Setups(draw(2 * copies), torch.arange(copies, device=device), turn)
