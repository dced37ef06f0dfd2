"""The slots of a store that one rank holds, and what it asks of the ranks that hold the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from memrl.distributed.collectives import rank, ranks, tensors_of_all_ranks
from memrl.memory.stores.search import Neighbours, merged

N = TypeVar("N", int, Tensor)


@final
class Share:
    """Every ``ranks``-th slot of a store, from ``rank`` on.

    The only rank holds all of them and exchanges nothing. Of several, each makes the same calls in
    the same order: they exchange through the default group of ``torch.distributed``.

    Attributes:
        received: bytes that came from other ranks so far.

    Raises:
        ValueError: there is no such rank.
    """

    def __init__(self, rank: int = 0, ranks: int = 1) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"share {rank} of {ranks}; allowed: 0 … {ranks - 1}")
        self.rank, self.ranks, self.received = rank, ranks, 0

    @classmethod
    def of_group(cls) -> Share:
        """This rank's share; all slots without a process group."""
        return cls(rank(), ranks())

    def size(self, slots: N) -> N:
        """How many of the first ``slots`` slots are here."""
        return (slots + self.ranks - 1 - self.rank) // self.ranks

    def holds(self, slot: Int[Tensor, "*B"]) -> Bool[Tensor, "*B"]:
        """Which slots are here; slot s is number ``s // ranks`` of them."""
        return slot % self.ranks == self.rank

    def slots(self, slots: int) -> Int[Tensor, " n"]:
        """Those of the first ``slots`` slots that are here."""
        return torch.arange(self.size(slots)) * self.ranks + self.rank

    def gather(self, *items: Tensor) -> tuple[list[Tensor], slice]:
        """The rows [n, ...] of all ranks, by rank, and where the own ones are among them.

        Ranks may have different numbers of rows; all items of a rank have the same.
        """
        if self.ranks == 1:
            return [*items], slice(None)
        own = torch.tensor([len(items[0])], device=items[0].device)
        lengths = torch.cat(self._exchange(own)).tolist()
        begin = sum(lengths[: self.rank])
        return [self._join(item, lengths) for item in items], slice(begin, begin + len(items[0]))

    def fetch(self, rows: Tensor, slot: Int[Tensor, " n"]) -> Tensor:
        """The rows of these slots [n, ...]; each rank gives those that it holds, in order."""
        if self.ranks == 1:
            return rows
        holder = slot % self.ranks
        joined = self._join(rows, torch.bincount(holder, minlength=self.ranks).tolist())
        return torch.empty_like(joined).index_copy_(0, holder.argsort(stable=True), joined)

    def merge(self, near: Neighbours | None, like: Tensor, k: int) -> Neighbours:
        """The k nearest of all ranks, from those that each has found among its own slots.

        Args:
            near: with numbers of own slots; None: nothing is here.
            like: the queries [B, Q, W].
            k: at least as many as were found.
        """
        if self.ranks == 1 and near is not None:
            return near
        score = like.new_full((*like.shape[:2], k), -torch.inf)
        slot = torch.zeros(score.shape, dtype=torch.int64, device=like.device)
        if near is not None:
            few = near.slot.shape[-1]
            score[..., :few] = near.score.masked_fill(~near.found, -torch.inf)
            slot[..., :few] = (near.slot * self.ranks + self.rank).where(near.found, 0)
        scores, slots = (torch.cat(self._exchange(x), dim=-1) for x in (score, slot))
        return merged(scores, slots, k)

    def _join(self, rows: Tensor, lengths: Sequence[int]) -> Tensor:
        """The rows of all ranks, of which each has so many."""
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = self._exchange(padded)
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])

    def _exchange(self, x: Tensor) -> list[Tensor]:
        """What each rank gives, of the same shape."""
        self.received += (self.ranks - 1) * x.nbytes
        return tensors_of_all_ranks(x)
