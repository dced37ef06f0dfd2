"""Recall: name the first observation of the episode at its end."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import State
from memrl.envs.probes.question import CueQuestion
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Cue, Obs


@final
class Recall(CueQuestion):
    """Remember the first observation: a cue, ``delay`` blanks, then a request for the answer.

    The observation is one symbol: a cue 0 … cues - 1, ``cues`` (blank), or ``cues + 1`` (answer
    now). The reward is 1 if the last action names the cue; earlier actions have no effect.
    Without a memory that reaches ``delay + 1`` steps back, success is 1 / cues.

    Args:
        num_envs: B.
        cues: number of different cues, at least 2.
        delay: env steps between the cue and the request, at least 0.
        device: of all tensors.
    """

    answer = "cue"

    def __init__(
        self,
        num_envs: int,
        *,
        cues: int = 4,
        delay: int = 3,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(num_envs, cues=cues, delay=delay, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(cues + 2)})
        self.action_space = spaces.Discrete(cues)

    @property
    def levels(self) -> Levels:
        guess = 1 / self.cues
        return Levels("success", optimum=1.0, memoryless=guess, guess=guess)

    @property
    def symbol_names(self) -> tuple[str, ...]:
        return (*(f"cue {cue}" for cue in range(self.cues)), "blank", "answer now")

    def cue(self) -> Cue:
        return Cue(self._current_setups()["cue"], self._state["t"] == 0)

    def choice(self, action: Tensor) -> Tensor:
        return torch.where(self._state["t"] == self.length - 1, action, -1)

    def _draw(self, num: int) -> Tensors:
        return {"cue": self._integers(self.cues, num)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        t = state["t"]
        later = torch.where(t == self.length - 1, self.cues + 1, self.cues)
        return {"obs": torch.where(t == 0, setups["cue"], later)}
