"""The set of observations of each environment's episode, as fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from memrl.bonus.bonus import BonusContext
from memrl.nn.fingerprint import fingerprint
from memrl.rollout.env import Obs


@final
class EpisodeSet:
    """The last ``capacity`` distinct observations of every environment's episode.

    It compares the entries ``keys`` of observations. An observation that was dropped counts as new
    again.
    """

    def __init__(
        self, num_envs: int, device: torch.device, *, keys: Sequence[str], capacity: int
    ) -> None:
        self.keys = tuple(keys)
        self.seen = torch.zeros(num_envs, capacity, dtype=torch.int64, device=device)
        self.count = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._slots = torch.arange(capacity, device=device)

    @classmethod
    def of(cls, context: BonusContext, capacity: int) -> EpisodeSet:
        """The sets of a bonus."""
        return cls(context.num_envs, context.device, keys=context.keys, capacity=capacity)

    def begin(self, obs: Obs) -> None:
        """Start every environment's set with its first observation."""
        everywhere = torch.ones_like(self.count, dtype=torch.bool)
        self.insert(self.mark(obs), everywhere, everywhere)

    def visit(self, obs: Obs, opens: Tensor) -> Tensor:
        """Bool [B]: the observation is new. Where ``opens``, a new set starts and it is not new."""
        mark = self.mark(obs)
        new = ~self.find(mark).any(dim=1)
        self.insert(mark, new | opens, opens)
        return new & ~opens

    def mark(self, obs: Obs) -> Tensor:
        """The fingerprint of each observation, int64 [B]."""
        return fingerprint(torch.stack([fingerprint(obs[key]) for key in self.keys], dim=1))

    def find(self, mark: Tensor) -> Tensor:
        """Bool [B, capacity]: the slot that holds the fingerprint, at most one in a row."""
        held = self._slots < self.count.unsqueeze(1)
        return (self.seen == mark.unsqueeze(1)) & held

    def insert(self, mark: Tensor, add: Tensor, restart: Tensor) -> Tensor:
        """Write ``mark`` where ``add``; rows to ``restart`` are emptied first.

        Returns:
            The next slots [B, 1], which are written where ``add``.
        """
        count = self.count.masked_fill(restart, 0)
        slot = (count % self.seen.shape[1]).unsqueeze(1)
        kept = self.seen.gather(1, slot)
        self.seen.scatter_(1, slot, torch.where(add.unsqueeze(1), mark.unsqueeze(1), kept))
        torch.add(count, add, out=self.count)
        return slot

    def state_dict(self) -> dict[str, Tensor]:
        """The sets, because episodes continue after a resume."""
        return {"seen": self.seen, "count": self.count}
