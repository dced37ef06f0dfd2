"""TMaze: a corridor with a cue at its start and a choice at its end."""

from __future__ import annotations

from typing import Final, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Cue, Obs

_CORRIDOR: Final = 2
_JUNCTION: Final = 3
_FORWARD: Final = 0
_LEFT: Final = 1


@final
class TMaze(Probe):
    """Walk down a corridor and turn to the side of the cue in its first cell (after Bakker 2001).

    The observation is one symbol: 0 (cue left) or 1 (cue right) in the first cell, 2 in the
    corridor, 3 at the junction, ``length`` steps from the start. Actions: 0 forward, 1 left,
    2 right. Turning in the corridor and moving forward at the junction have no effect. A turn at
    the junction terminates the episode, with reward 1 for the side of the cue and 0 for the other.
    The episode is truncated after ``limit`` steps. An optimal agent needs ``length + 1`` steps. The
    agent cannot return to the cue, so without a memory success is at most 1/2.

    Args:
        num_envs: B.
        length: env steps from the cue to the junction, at least 1.
        limit: env steps until truncation; 0 means 4 × (length + 1).
        device: of all tensors.
    """

    metric_names = ("success",)

    def __init__(
        self,
        num_envs: int,
        *,
        length: int = 10,
        limit: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        least = length + 1
        if length < 1 or not (limit == 0 or limit >= least):
            raise ValueError(
                f"length is {length} and limit is {limit}, allowed: length of at least 1 and limit "
                f"of 0 or at least {least}"
            )
        super().__init__(num_envs, min_length=least, device=device)
        self.length = length
        self.limit = limit or 4 * least
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(4)})
        self.action_space = spaces.Discrete(3)

    @property
    def levels(self) -> Levels:
        return Levels("success", optimum=1.0, memoryless=0.5, guess=0.5)

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("forward", "left", "right")

    @property
    def symbol_names(self) -> tuple[str, ...]:
        return ("cue: left", "cue: right", "corridor", "junction")

    def cue(self) -> Cue:
        return Cue(self._current_setups()["side"], self._state["cell"] == 0)

    def choice(self, action: Tensor) -> Tensor:
        turns = (self._state["cell"] == self.length) & (action != _FORWARD)
        return torch.where(turns, action - _LEFT, -1)

    def _draw(self, num: int) -> Tensors:
        return {"side": self._integers(2, num)}

    def _initial_state(self, setups: Setups) -> State:
        return {"cell": torch.zeros_like(setups.row)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        cell = state["cell"]
        later = torch.where(cell == self.length, _JUNCTION, _CORRIDOR)
        return {"obs": torch.where(cell == 0, setups["side"], later)}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        cell, forward = state["cell"], action == _FORWARD
        turned = (cell == self.length) & ~forward
        success = turned & (action == _LEFT + setups["side"])
        moved = {**state, "cell": (cell + forward).clamp(max=self.length)}
        late = state["t"] + 1 >= self.limit
        return Outcome(moved, success.float(), turned, late, {"success": success.float()})
