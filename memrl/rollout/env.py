"""The interface of a batch of environments: tensors on one device, same-step autoreset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias

import torch
from gymnasium import spaces
from torch import Tensor

Obs: TypeAlias = dict[str, Tensor]


class Transition(NamedTuple):
    """What one step of B environments returns.

    ``obs`` is the observation for the next action. Where an episode ended, it is the first
    observation of the next episode, and ``final_obs`` holds the last one of the old episode
    (elsewhere ``final_obs`` equals ``obs``). ``metrics`` describe an episode at its last step,
    float32 [B], NaN where a task has no such value; they are undefined at other steps.

    The caller owns the tensors: editing them does not change later steps.
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


class Carried(NamedTuple):
    """The complete state of environments between two steps."""

    state: Any  # nested tuples of tensors that lead with B
    generators: tuple[torch.Generator, ...]  # the generators of random numbers


class BatchedEnv(ABC):
    """B environments of one task. Observations are dicts of tensors; a Box is ``{"obs": ...}``.

    Attributes:
        num_envs: B, the number of environments.
        device: of observations and actions.
        observation_space: of one environment, always a ``Dict``.
        action_space: of one environment: Discrete, MultiDiscrete, MultiBinary or Box.
        metric_names: keys of ``Transition.metrics``, constant.
        exact_resume: ``state_dict`` holds all that a bit-for-bit resume needs.
        has_goals: observations have the entries ``observation``, ``achieved_goal`` and
            ``desired_goal`` (as in Gymnasium-Robotics), and ``goal_reward`` computes their reward.
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
        """Start an episode in every environment; a seed makes all later steps reproducible."""

    @abstractmethod
    def step(self, action: Tensor) -> Transition:
        """Step every environment: action int64 [B] (or [B, D]; float32 [B, D] for a Box)."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Nested dict of tensors and plain values, enough to continue (see ``exact_resume``)."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the last observations."""

    def carried(self) -> Carried | None:
        """The state for the next step; None if a step needs the host.

        An environment that returns it guarantees that every step runs the same operations on the
        device, does not synchronise with the host or read its values, and has no other state.
        """
        return None

    def carry(self, state: Any) -> None:
        """Continue from a ``state`` of ``carried``, perhaps in other tensors."""
        raise TypeError(f"{type(self).__name__} carries no state on the device")

    def goal_reward(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        """Reward and termination of a step, from its achieved and its desired goal.

        Goals [*N, ...] to reward float32 [*N] and terminated bool [*N]. They depend on nothing
        else, and equal what ``step`` returns for these goals.
        """
        raise TypeError(f"{type(self).__name__} has no goals")

    def render(self, copy: int = 0) -> Any:
        """An image of environment ``copy``, uint8 [H, W, 3] (numpy), or None if there is none."""
        return None

    def close(self) -> None:  # noqa: B027  most have nothing to release
        """Release the resources of the environments."""
