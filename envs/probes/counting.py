"""Counting: name the number of ticks at the end of the episode."""

from __future__ import annotations

from typing import Final, final

import torch
from gymnasium import spaces

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import State
from memrl.envs.probes.question import Question
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

_ASKED: Final = 2


@final
class Counting(Question):
    """Count the ticks in ``listen`` steps, then answer a question with their number.

    The observation is one symbol: 0 silence, 1 a tick, 2 the question. The reward is 1 if the last
    action is the number of ticks; earlier actions have no effect. All numbers 0 … ``most`` and all
    arrangements of the ticks are equally likely: without a memory, success is 1 / (most + 1).

    Args:
        num_envs: B.
        most: the largest number of ticks, at least 1.
        listen: env steps before the question, at least ``most``.
        device: of all tensors.
    """

    answer = "ticks"

    def __init__(
        self,
        num_envs: int,
        *,
        most: int = 3,
        listen: int = 6,
        device: torch.device | str = "cpu",
    ) -> None:
        if most < 1 or listen < most:
            raise ValueError(
                f"most is {most} and listen is {listen}, allowed: most of at least 1 and listen of "
                "at least most"
            )
        super().__init__(num_envs, length=listen + 1, device=device)
        self.most, self.listen = most, listen
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(3)})
        self.action_space = spaces.Discrete(most + 1)

    @property
    def levels(self) -> Levels:
        guess = 1 / (self.most + 1)
        return Levels("success", optimum=1.0, memoryless=guess, guess=guess)

    @property
    def symbol_names(self) -> tuple[str, ...]:
        return ("silence", "tick", "how many?")

    def _draw(self, num: int) -> Tensors:
        ticks = self._integers(self.most + 1, num)
        drawn = torch.rand((num, self.listen), generator=self.generator, device=self.device)
        place = drawn.argsort(dim=1).argsort(dim=1)  # the rank of each step in a random order
        asked = torch.full((num, 2), _ASKED, device=self.device)  # the last observation repeats it
        sounds = torch.cat([(place < ticks.unsqueeze(1)).long(), asked], dim=1)
        return {"ticks": ticks, "sound": sounds}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": setups.at("sound", state["t"])}
