"""EndlessTMaze: corridor after corridor, each with a cue that makes the last one wrong."""

from __future__ import annotations

from typing import Final, Literal, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

_FORWARD: Final = 0
_LEFT: Final = 1
_DELAY: Final = -0.01  # reward of a step that is no decision


@final
class EndlessTMaze(Probe):
    """Walk down one corridor after the other and turn at each end to the side of its own cue.

    After "Memory Retention Is Not Enough to Master Memory Tasks in Reinforcement Learning"
    (Shchendrigin et al. 2026): the memory must be rewritten in every corridor. The observation is
    three numbers: the position as a fraction of ``length``, and the cue, one flag for left and one
    for right, which is shown in the first cell of a corridor only. At the end of a corridor the
    right turn pays 1 and leads to the first cell of the next one; anything else costs 1 and
    terminates the episode, as the last right turn does. All other steps cost 0.01. An episode
    succeeds if all ``corridors`` are passed.

    The paper's code was not at hand. Its project page and summaries of its text give the
    observation, the rewards and the two kinds of lengths. An earlier implementation of its authors
    (github.com/Quartz-Admirer/Adaptive-Memory-Envs) gives the rest: positions are fractions of
    the greatest length, a turn before the end has no effect, walking on at the end counts as a
    wrong turn, and the episode is truncated after 6 × (length + 1) × corridors steps.

    Where lengths are uniform, the end of a corridor looks like any other cell, unless it is the
    last possible one. To walk on there loses the episode, so an agent tries its turn in every cell
    before it walks on, and must remember that it did.

    Args:
        num_envs: B.
        length: cells from the first of a corridor to its end, at least 1.
        corridors: n, at least 1.
        lengths: ``fixed``, or ``uniform`` in 1 … ``length`` for each corridor.
        device: of all tensors.

    Raises:
        ValueError: ``length`` or ``corridors`` is out of range.
    """

    metric_names = ("success",)

    def __init__(
        self,
        num_envs: int,
        *,
        length: int = 5,
        corridors: int = 3,
        lengths: Literal["fixed", "uniform"] = "fixed",
        device: torch.device | str = "cpu",
    ) -> None:
        if length < 1 or corridors < 1:
            raise ValueError(
                f"length is {length} and corridors is {corridors}, allowed: at least 1 each"
            )
        self.length, self.corridors, self.fixed = length, corridors, lengths == "fixed"
        shortest = length if self.fixed else 1
        super().__init__(num_envs, min_length=shortest + 1, device=device)
        self.limit = 6 * (length + 1) * corridors
        self.observation_space = spaces.Dict({"obs": spaces.Box(0, 1, (3,), np.float32)})
        self.action_space = spaces.Discrete(3)

    @property
    def levels(self) -> Levels:
        # With uniform lengths somebody without a memory cannot know that it tried its turn.
        guess = 0.5**self.corridors
        return Levels("success", 1.0, memoryless=guess if self.fixed else None, guess=guess)

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("forward", "left", "right")

    def _draw(self, num: int) -> Tensors:
        size = num, self.corridors
        full = torch.full(size, self.length, device=self.device)
        return {
            "side": self._integers(2, *size),
            "end": full if self.fixed else 1 + self._integers(self.length, *size),
        }

    def _initial_state(self, setups: Setups) -> State:
        zero = torch.zeros_like(setups.row)
        return {"corridor": zero, "cell": zero}

    def _observe(self, setups: Setups, state: State) -> Obs:
        cell, side = state["cell"], setups.at("side", state["corridor"])
        first = cell == 0
        shown = [cell / self.length, first & (side == 0), first & (side == 1)]
        return {"obs": torch.stack([each.float() for each in shown], dim=1)}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        corridor, cell = state["corridor"], state["cell"]
        decided = cell == setups.at("end", corridor)
        right = decided & (action == _LEFT + setups.at("side", corridor))
        success = right & (corridor == self.corridors - 1)
        passed = right & ~success
        walked = cell + (~decided & (action == _FORWARD))
        moved = {
            **state,
            "corridor": corridor + passed,
            "cell": torch.where(passed, 0, walked),
        }
        reward = torch.where(decided, 2.0 * right - 1, _DELAY)
        late = state["t"] + 1 >= self.limit
        terminated = decided & ~passed
        return Outcome(moved, reward, terminated, late, {"success": success.float()})
