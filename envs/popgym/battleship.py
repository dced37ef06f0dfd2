"""POPGym's Battleship: sink a hidden fleet; the agent sees only whether the last shot hit."""

from __future__ import annotations

from typing import Final, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.popgym.fleets import FleetSampler
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

FLEET: Final = (2, 3, 3, 4)  # cells
SMALLEST: Final = 8  # cells; the last ship has 16 disjoint places, the others cover 8 cells


@final
class Battleship(EpisodicEnv):
    """The agent shoots at cells [row, column] of a square board; the fleet covers 12 of S² cells.

    The observation is 1 after a hit, else 0: int64 [B]. It does not show where the shot went, so
    agents also need the previous action. A hit pays 1 / 12. Any other shot, also at a cell that was
    hit before, costs 1 / (S² - 12). An episode terminates when the fleet is sunk and is truncated
    after S² shots; both can be True.

    Metrics: ``success``, 1 if the fleet is sunk.

    Args:
        num_envs: B.
        side: S, at least 8, so that the last ship always finds a place.
        device: of all tensors.

    Raises:
        ValueError: ``side`` is below 8.
    """

    metric_names = ("success",)

    def __init__(self, num_envs: int, *, side: int, device: torch.device | str = "cpu") -> None:
        if side < SMALLEST:
            raise ValueError(f"side is {side}, allowed: at least {SMALLEST} cells")
        super().__init__(num_envs, min_length=sum(FLEET), device=device)
        self.side = side
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(2)})
        self.action_space = spaces.MultiDiscrete([side, side])
        self._fleet_sampler = FleetSampler(side, FLEET, self.device)

    def _draw(self, num: int) -> Tensors:
        return {"ship": self._fleet_sampler.draw(num, self.generator)}

    def _initial_state(self, setups: Setups) -> State:
        none = torch.zeros_like(setups.row)
        unshot = none.new_zeros((self.num_envs, self.side**2), dtype=torch.bool)
        return {"shot": unshot, "hits": none, "hit": none}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": state["hit"].clone()}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        row, column = action.unbind(1)
        cell = row * self.side + column
        shot = state["shot"]
        hit = setups.at("ship", cell) & ~shot.gather(1, cell.unsqueeze(1)).squeeze(1)
        hits = state["hits"] + hit
        after = {
            "shot": shot.scatter(1, cell.unsqueeze(1), True),
            "hits": hits,
            "hit": hit.long(),
        }
        sunk = hits == sum(FLEET)
        reward = torch.where(hit, 1 / sum(FLEET), -1 / (self.side**2 - sum(FLEET)))
        late = state["t"] == self.side**2 - 1
        return Outcome(after, reward, sunk, late, {"success": sunk.float()})
