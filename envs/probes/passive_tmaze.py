"""PassiveTMaze: the T-maze of Ni et al. 2023, whose horizon leaves no step to waste."""

from __future__ import annotations

from typing import Final, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Cue, Obs

_RIGHT: Final = 0
_UP: Final = 1
_LEFT: Final = 2
_DOWN: Final = 3


@final
class PassiveTMaze(Probe):
    """Walk right along a corridor, then up or down as the first observation said.

    After "When Do Transformers Shine in RL?" (Ni et al. 2023, passive T-maze) and the published
    environment. The observation is two numbers: 1 at the junction and in the cells above and below
    it, else 0; and there the row, 1, 0 or -1. The first observation of an episode has the row of
    the goal, 1 or -1, in place of the second, and is the only one that tells it. A move into a wall
    has no effect. An episode has ``length + 1`` steps: ``length`` to the junction and one to the
    goal. Each step but the last costs 1 / length if the agent is then behind one that has always
    walked right; the last pays 1 in the goal's row. So the return is 1 at best, and 1/2 without a
    memory that reaches back ``length`` steps.

    Args:
        num_envs: B.
        length: env steps from the first cell to the junction, at least 1.
        device: of all tensors.

    Raises:
        ValueError: ``length`` is out of range.
    """

    metric_names = ("success",)

    def __init__(
        self, num_envs: int, *, length: int = 10, device: torch.device | str = "cpu"
    ) -> None:
        if length < 1:
            raise ValueError(f"length is {length}, allowed: at least 1 env step")
        super().__init__(num_envs, min_length=length + 1, device=device)
        self.length = length
        self.observation_space = spaces.Dict({"obs": spaces.Box(-1, 1, (2,), np.float32)})
        self.action_space = spaces.Discrete(4)

    @property
    def levels(self) -> Levels:
        return Levels("return", optimum=1.0, memoryless=0.5, guess=0.5)

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("right", "up", "left", "down")

    def cue(self) -> Cue:
        return Cue((self._current_setups()["goal"] + 1) // 2, self._state["t"] == 0)

    def choice(self, action: Tensor) -> Tensor:
        row = self._move(self._state, action)[1]
        return torch.where((self._state["t"] == self.length) & (row != 0), (row + 1) // 2, -1)

    def _draw(self, num: int) -> Tensors:
        return {"goal": 2 * self._integers(2, num) - 1}

    def _initial_state(self, setups: Setups) -> State:
        cell = torch.zeros_like(setups.row)
        return {"x": cell, "y": cell}

    def _observe(self, setups: Setups, state: State) -> Obs:
        arrived = state["x"] == self.length
        told = torch.where(state["t"] == 0, setups["goal"], torch.where(arrived, state["y"], 0))
        return {"obs": torch.stack([arrived, told], dim=1).float()}

    def _move(self, state: State, action: Tensor) -> tuple[Tensor, Tensor]:
        """The cell after an action."""
        x, y = state["x"], state["y"]
        along = (action == _RIGHT).long() - (action == _LEFT).long()
        across = (action == _UP).long() - (action == _DOWN).long()
        # The corridor is the row 0; the column of the junction has the rows -1, 0 and 1.
        moved_x = torch.where(y == 0, (x + along).clamp(0, self.length), x)
        return moved_x, torch.where(x == self.length, (y + across).clamp(-1, 1), y)

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        time = state["t"] + 1
        moved_x, moved_y = self._move(state, action)
        ended = time == self.length + 1
        success = ended & (moved_y == setups["goal"])
        late = (moved_x < time) & ~ended
        reward = success.float() - late.float() / self.length
        moved = {**state, "x": moved_x, "y": moved_y}
        return Outcome(moved, reward, ended, self._flags(False), {"success": success.float()})
