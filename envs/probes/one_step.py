"""OneStep: episodes of one step, to test that observations of two episodes are kept apart."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels, Need
from memrl.envs.episodic_env import State
from memrl.envs.probes.probe import FixedLengthProbe, ProbeResult
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class OneStep(FixedLengthProbe):
    """Every step is an episode; the right action is the index of the largest of three numbers.

    The observation is float32 [B, 3] in [0, 1]; the reward is 1 for the right action. An agent that
    confuses the observations of this and the next episode learns nothing.

    Args:
        num_envs: B.
        device: of all tensors.
    """

    need: ClassVar[Need] = "not needed"

    def __init__(self, num_envs: int, *, device: torch.device | str = "cpu") -> None:
        super().__init__(num_envs, length=1, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Box(0.0, 1.0, (3,), np.float32)})
        self.action_space = spaces.Discrete(3)

    @property
    def levels(self) -> Levels:
        return Levels("success", optimum=1.0, memoryless=1.0, guess=1 / 3)

    def _draw(self, num: int) -> Tensors:
        return {"numbers": torch.rand((num, 3), generator=self.generator, device=self.device)}

    def _initial_state(self, setups: Setups) -> State:
        return {}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": setups["numbers"]}

    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        right = action == setups["numbers"].argmax(1)
        return ProbeResult(state, right.float(), right)
