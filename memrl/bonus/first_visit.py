"""First visits: a reward for each observation not seen before in the episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memrl.nn.fingerprint import fingerprint
from memrl.rollout.env import Obs


class FirstVisit:
    """The episode's set of observations, as fingerprints, for every row.

    What is compared are the entries ``keys`` of the observation. The set holds the last
    ``capacity`` distinct ones of an episode; one that was forgotten counts as new again. The first
    observation of an episode is known from the start and earns nothing, nor does the step that ends
    one: its observation belongs to the next.
    """

    def __init__(
        self, num_envs: int, device: torch.device, *, keys: Sequence[str], capacity: int = 512
    ) -> None:
        self.keys = tuple(keys)
        self.seen = torch.zeros(num_envs, capacity, dtype=torch.int64, device=device)
        self.count = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._slots = torch.arange(capacity, device=device)

    def begin(self, obs: Obs) -> None:
        """Start every row's set anew with its first observation."""
        everywhere = torch.ones_like(self.count, dtype=torch.bool)
        self._insert(self._mark(obs), everywhere, everywhere)

    def visit(self, obs: Obs, ended: Tensor) -> Tensor:
        """Bool [B]: is the observation new? Rows that ended start a new set, and theirs is not."""
        mark = self._mark(obs)
        held = self._slots < self.count.unsqueeze(1)
        new = ~((self.seen == mark.unsqueeze(1)) & held).any(dim=1)
        self._insert(mark, new | ended, ended)
        return new & ~ended

    def _insert(self, mark: Tensor, add: Tensor, restart: Tensor) -> None:
        """Write ``mark`` where ``add``; rows to ``restart`` are emptied before."""
        count = self.count.masked_fill(restart, 0)
        slot = (count % self.seen.shape[1]).unsqueeze(1)
        kept = self.seen.gather(1, slot)
        self.seen.scatter_(1, slot, torch.where(add.unsqueeze(1), mark.unsqueeze(1), kept))
        torch.add(count, add, out=self.count)

    def _mark(self, obs: Obs) -> Tensor:
        return fingerprint(torch.stack([fingerprint(obs[key]) for key in self.keys], dim=1))

    def state_dict(self) -> dict[str, Any]:
        """The sets themselves: an episode goes on after a resume."""
        return {"seen": self.seen, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.seen.copy_(state["seen"])
        self.count.copy_(state["count"])
