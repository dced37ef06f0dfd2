"""DelayedMatch: compare two symbols with a delay between them."""

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
class DelayedMatch(CueQuestion):
    """See a sample, wait, see a test, and say whether both are the same.

    This task is known as delayed match to sample. The observation is one symbol: the sample
    0 … cues - 1, ``cues`` during the delay, then the test as ``cues + 1`` plus its number. In the
    last step action 1 means "same" and 0 "different"; the reward is 1 if that is right. Earlier
    actions have no effect. Half of the tests equal the sample; the others are uniform over the
    other cues, so a test alone reveals nothing. Without a memory that reaches ``delay + 1`` steps
    back, success is 1/2.

    Args:
        num_envs: B.
        cues: number of different samples, at least 2.
        delay: env steps between the sample and the test, at least 0.
        device: of all tensors.
    """

    answer = "same"

    def __init__(
        self,
        num_envs: int,
        *,
        cues: int = 3,
        delay: int = 3,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(num_envs, cues=cues, delay=delay, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(2 * cues + 1)})
        self.action_space = spaces.Discrete(2)

    @property
    def levels(self) -> Levels:
        return Levels("success", optimum=1.0, memoryless=0.5, guess=0.5)

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("different", "same")

    @property
    def symbol_names(self) -> tuple[str, ...]:
        samples = tuple(f"sample {cue}" for cue in range(self.cues))
        return (*samples, "wait", *(f"test {cue}" for cue in range(self.cues)))

    def cue(self) -> Cue:
        return Cue(self._current_setups()["sample"], self._state["t"] == 0)

    def choice(self, action: Tensor) -> Tensor | None:
        """The sample that the answer is right for; of more than two, "different" fits several."""
        if self.cues > 2:
            return None
        test = self._current_setups()["test"]
        fitting = torch.where(action == 1, test, 1 - test)
        return torch.where(self._state["t"] == self.length - 1, fitting, -1)

    def _draw(self, num: int) -> Tensors:
        sample, same = self._integers(self.cues, num), self._integers(2, num)
        other = (sample + 1 + self._integers(self.cues - 1, num)) % self.cues
        return {"sample": sample, "same": same, "test": torch.where(same == 1, sample, other)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        t = state["t"]
        later = torch.where(t >= self.length - 1, self.cues + 1 + setups["test"], self.cues)
        return {"obs": torch.where(t == 0, setups["sample"], later)}
