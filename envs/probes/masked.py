"""Masked: some actions are forbidden, to test action masks."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional

from memrl.envs.catalogue import Levels, Need
from memrl.envs.episodic_env import State
from memrl.envs.probes.probe import FixedLengthProbe, ProbeResult
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK


@final
class Masked(FixedLengthProbe):
    """Take allowed actions: every step forbids some actions, and a forbidden action costs 1.

    ``action_mask`` (bool [B, A]) allows at least one action. ``obs`` (float32 [B, 1]) is the
    elapsed fraction of the episode, which is no help. An episode is a success if no action was
    forbidden. It is truncated after ``length`` steps and never terminates.

    Args:
        num_envs: B.
        actions: A, at least 2.
        length: env steps in an episode.
        device: of all tensors.
    """

    need: ClassVar[Need] = "not needed"
    ends_by_time = True

    def __init__(
        self,
        num_envs: int,
        *,
        actions: int = 5,
        length: int = 8,
        device: torch.device | str = "cpu",
    ) -> None:
        if actions < 2:
            raise ValueError(f"actions is {actions}, allowed: at least 2")
        super().__init__(num_envs, length=length, device=device)
        self.actions = actions
        self.action_space = spaces.Discrete(actions)
        self.observation_space = spaces.Dict(
            {"obs": spaces.Box(0.0, 1.0, (1,), np.float32), MASK: spaces.MultiBinary(actions)}
        )

    @property
    def levels(self) -> Levels:
        allowed = (self.actions + 1) / (2 * self.actions)  # probability that one action is allowed
        return Levels("success", optimum=1.0, memoryless=1.0, guess=allowed**self.length)

    def _draw(self, num: int) -> Tensors:
        return {"mask": self._mask(num)}

    def _initial_state(self, setups: Setups) -> State:
        return {"mask": setups["mask"], "right": self._flags(True)}

    def _mask(self, num: int) -> Tensor:
        chosen = functional.one_hot(self._integers(self.actions, num), self.actions)
        return (chosen | self._integers(2, num, self.actions)).bool()

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": (state["t"] / self.length).unsqueeze(1), MASK: state["mask"].clone()}

    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        allowed = state["mask"].gather(1, action.unsqueeze(1)).squeeze(1)
        right = state["right"] & allowed
        state = {**state, "mask": self._mask(self.num_envs), "right": right}
        return ProbeResult(state, allowed.float() - 1.0, right)
