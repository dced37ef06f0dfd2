"""Probes that ask one question at the end of an episode."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from memrl.envs.episodic_env import State
from memrl.envs.probes.probe import FixedLengthProbe, ProbeResult
from memrl.envs.setups import Setups


class Question(FixedLengthProbe, ABC):
    """The reward is 1 if the last action is the answer; earlier actions have no effect."""

    free_actions = True
    answer: ClassVar[str]  # the entry of a setup that holds the right action

    def _initial_state(self, setups: Setups) -> State:
        return {}

    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        right = (action == setups[self.answer]) & (state["t"] == self.length - 1)
        return ProbeResult(state, right.float(), right)


class CueQuestion(Question, ABC):
    """A question about a cue that the first observation shows.

    Args:
        num_envs: B.
        cues: number of different cues, at least 2.
        delay: env steps between the cue and the question, at least 0.
        device: of all tensors.

    Raises:
        ValueError: ``cues`` or ``delay`` is out of range.
    """

    def __init__(self, num_envs: int, *, cues: int, delay: int, device: torch.device | str) -> None:
        if cues < 2 or delay < 0:
            raise ValueError(
                f"cues is {cues} and delay is {delay}, allowed: at least 2 cues, a delay from 0"
            )
        super().__init__(num_envs, length=delay + 2, device=device)
        self.cues = cues
