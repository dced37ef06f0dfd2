"""Episodic counts: the n-th visit of an observation in an episode earns 1/√n."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, final

import torch
from annotated_types import Ge
from torch import Tensor

from memrl.bonus.bonus import Bonus, BonusContext, need_entries
from memrl.bonus.episode_set import EpisodeSet
from memrl.bonus.registry import BONUSES
from memrl.rollout.env import Obs


@BONUSES.register("count")
@final
class Count(Bonus):
    """1/√n(s'), where n counts the visits of s' in the episode, this one included.

    This is the count-based bonus of Bellemare et al. 2016 (β n^(-1/2)) with exact counts of raw
    observations within an episode. It counts the last ``capacity`` distinct ones; see
    ``EpisodeSet``.
    """

    def __init__(self, context: BonusContext, *, capacity: Annotated[int, Ge(1)] = 512) -> None:
        self.visited = EpisodeSet.of(context, capacity)
        self.visits = torch.zeros_like(self.visited.seen)  # [B, capacity], of the entries of `seen`

    def begin(self, obs: Obs) -> None:
        self.visited.begin(obs)
        self.visits[:, 0] = 1

    def reward(self, obs: Obs, opens: Tensor) -> Tensor:
        mark = self.visited.mark(obs)
        found = self.visited.find(mark)
        n = (self.visits * found).sum(dim=1) + 1
        first = (n == 1) | opens
        slot = self.visited.insert(mark, first, opens)
        self.visits += found
        kept = self.visits.gather(1, slot)
        self.visits.scatter_(1, slot, kept.masked_fill(first.unsqueeze(1), 1))
        return torch.where(opens, 0.0, n.float().rsqrt())

    def state_dict(self) -> dict[str, Any]:
        return {**self.visited.state_dict(), "visits": self.visits}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        for name, value in need_entries(state, own).items():
            own[name].copy_(value)
