"""The protocol of a batch of environments: tensors on one device, same-step autoreset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias

import torch
from gymnasium import spaces
from torch import Tensor

Obs: TypeAlias = dict[str, Tensor]


class Transition(NamedTuple):
    """What one step of B environments returns.

    ``obs`` is what the next action is chosen from: where an episode ended it is the first
    observation of the next one, and ``final_obs`` holds the last observation of the old one
    (elsewhere ``final_obs`` equals ``obs``). ``metrics`` speak of an episode at its last step and
    are arbitrary elsewhere: float32 [B], NaN where a task has no such value.

    The tensors are the receiver's: who writes into them changes nothing of what follows.
    """

    obs: Obs  # each [B, ...]
    reward: Tensor  # float32 [B]
    terminated: Tensor  # bool [B]
    truncated: Tensor  # bool [B]
    final_obs: Obs  # each [B, ...]
    metrics: dict[str, Tensor]  # e.g. success, cue_seen: float32 [B]
    valid: Tensor | None = None  # bool [B]; False: a reset row of a NEXT_STEP env, not a step

    @property
    def ended(self) -> Tensor:
        """Rows whose episode ended at this step: bool [B]."""
        return self.terminated | self.truncated

    @property
    def start(self) -> Tensor:
        """Rows whose ``obs`` opens an episode: bool [B]."""
        return self.ended if self.valid is None else self.ended | ~self.valid


class Carried(NamedTuple):
    """All that a step of environments takes over from the step before."""

    state: Any  # nested tuples of tensors that lead with B
    generators: tuple[torch.Generator, ...]  # what a step draws from


class BatchedEnv(ABC):
    """B copies of one task. Observations are dicts of tensors; a plain Box is ``{"obs": ...}``.

    Attributes:
        num_envs: B, the number of copies.
        device: where observations are made and actions are expected.
        observation_space: of one copy, always a ``Dict``.
        action_space: of one copy: Discrete, MultiDiscrete, MultiBinary or Box.
        metric_names: keys of ``Transition.metrics``, constant.
        exact_resume: ``state_dict`` holds all that a bit-for-bit continuation needs.
        has_goals: observations have the entries ``observation``, ``achieved_goal`` and
            ``desired_goal`` (as in Gymnasium-Robotics), and ``goal_reward`` tells what they pay.
    """

    num_envs: int
    device: torch.device
    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    metric_names: tuple[str, ...] = ()
    exact_resume: bool = False
    has_goals: bool = False

    @abstractmethod
    def reset(self, seed: int | None = None) -> Obs:
        """Begin a new episode in every copy; a seed makes everything that follows repeatable."""

    @abstractmethod
    def step(self, action: Tensor) -> Transition:
        """Advance every copy: action int64 [B] (or [B, D]; float32 [B, D] for a Box)."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Nested dict of tensors and plain values, enough to continue (see ``exact_resume``)."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the observations that were last given out."""

    def carried(self) -> Carried | None:
        """What the next step will go on from; None where a step needs the host.

        Who returns it promises that a step is the same operations on the device every time, that
        none of them waits for the host or takes a number from it, and that nothing else is kept.
        """
        return None

    def carry(self, state: Any) -> None:
        """Go on from a ``state`` as ``carried`` gives it: same values, other tensors."""
        raise TypeError(f"{type(self).__name__} carries no state on the device")

    def goal_reward(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        """What a step pays, and whether it ends, that achieves one goal and was after another.

        Goals ``[*N, ...]`` to a reward float32 ``[*N]`` and a bool ``[*N]``; nothing else plays a
        part. For any goal that was achieved, this is what ``step`` would have returned had it been
        desired.
        """
        raise TypeError(f"{type(self).__name__} has no goals")

    def render(self, copy: int = 0) -> Any:
        """A picture of one copy as uint8 [H, W, 3] (numpy), or None where there is none."""
        return None

    def close(self) -> None:  # noqa: B027  most have nothing to release
        """Release what the copies hold."""
