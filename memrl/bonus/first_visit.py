"""First visits: a bonus for each observation that is new in the episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, final

from annotated_types import Ge
from torch import Tensor

from memrl.bonus.bonus import Bonus, BonusContext, need_entries
from memrl.bonus.episode_set import EpisodeSet
from memrl.bonus.registry import BONUSES
from memrl.rollout.env import Obs


@BONUSES.register("first_visit")
@final
class FirstVisit(Bonus):
    """1 for an observation that is new in the episode, else 0; see ``EpisodeSet``."""

    def __init__(self, context: BonusContext, *, capacity: Annotated[int, Ge(1)] = 512) -> None:
        self.visited = EpisodeSet.of(context, capacity)

    def begin(self, obs: Obs) -> None:
        self.visited.begin(obs)

    def reward(self, obs: Obs, opens: Tensor) -> Tensor:
        return self.visited.visit(obs, opens).float()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.visited.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        for name, value in need_entries(state, own).items():
            own[name].copy_(value)
