"""Probes that ask one question at the end of an episode."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from memrl.envs.deals import Deals
from memrl.envs.episodes import State
from memrl.envs.probes.probe import Timed, Verdict


class Question(Timed, ABC):
    """The reward is 1 if the last action is the answer; earlier actions do nothing."""

    free_actions = True
    answer: ClassVar[str]  # the entry of a deal that holds the right action

    def _begin(self, deals: Deals) -> State:
        return {}

    def _judge(self, deals: Deals, state: State, action: Tensor) -> Verdict:
        right = (action == deals[self.answer]) & (state["t"] == self.length - 1)
        return Verdict(state, right.float(), right)


class CueQuestion(Question, ABC):
    """A question about a cue that the first observation shows.

    Args:
        num_envs: B.
        cues: how many cues there are, at least 2.
        delay: env steps between the cue and the question, from 0.
        device: where everything lives.

    Raises:
        ValueError: ``cues`` or ``delay`` is out of range.
    """

    def __init__(self, num_envs: int, *, cues: int, delay: int, device: torch.device | str) -> None:
        if cues < 2 or delay < 0:
            raise ValueError(f"cues is {cues}, delay {delay}; allowed: cues from 2, delay from 0")
        super().__init__(num_envs, length=delay + 2, device=device)
        self.cues = cues
