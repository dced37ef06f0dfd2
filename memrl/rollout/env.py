"""The interface of a batch of environments: tensors on one device, same-step autoreset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from gymnasium import spaces
from torch import Tensor

Obs: TypeAlias = dict[str, Tensor]
PER_TASK: Final = ("return", "success")  # what a batch of several tasks tells of each, see of_task


class Transition(NamedTuple):
    """What one step of B environments returns.

    The agent chooses its next action from ``obs``. Where an episode ended, ``obs`` is the first
    observation of the next episode and ``final_obs`` the last observation of the ended one;
    elsewhere both are equal. ``metrics`` (float32 [B]) describe an episode at its last step and
    are arbitrary at other steps; NaN means that the task has no such value.

    The caller may modify the tensors: later steps do not depend on them. Later steps may write into
    them: ``copied`` keeps what they hold now.
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
        """Environments whose episode ended at this step: bool [B]."""
        return self.terminated | self.truncated

    @property
    def start(self) -> Tensor:
        """Rows whose ``obs`` opens an episode: bool [B]."""
        return self.ended if self.valid is None else self.ended | ~self.valid


class Cue(NamedTuple):
    """What the present episodes ask an agent to remember; no agent sees this."""

    identity: Tensor  # int64 [B]: which cue, from 0
    visible: Tensor  # bool [B]: the present observation shows it


def of_task(metric: str, task: str) -> str:
    """The name of a metric of one task among several: ``success/NAME``."""
    return f"{metric}/{task}"


def copied(entries: Mapping[str, Tensor]) -> Obs:
    """Copies of named tensors, such as observations."""
    return {name: value.clone() for name, value in entries.items()}


class Carried(NamedTuple):
    """Everything that the next step depends on, apart from the action."""

    state: Any  # nested tuples of tensors that lead with B
    generators: tuple[torch.Generator, ...]  # of the random numbers that a step draws


class BatchedEnv(ABC):
    """B environments of one task, stepped together.

    Observations are dicts of tensors; the key of a plain Box is ``obs``.

    Attributes:
        num_envs: B.
        device: of observations and actions.
        observation_space: of one environment, always a ``Dict``.
        action_space: of one environment: Discrete, MultiDiscrete, MultiBinary or Box.
        metric_names: keys of ``Transition.metrics``, constant.
        exact_resume: ``state_dict`` holds everything that a bit-for-bit continuation needs.
        has_goals: observations have the entries ``observation``, ``achieved_goal`` and
            ``desired_goal`` (as in Gymnasium-Robotics), and ``goal_reward`` computes the reward.
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
        """Start a new episode in every environment; a seed makes everything after it repeatable."""

    @abstractmethod
    def step(self, action: Tensor) -> Transition:
        """Step every environment: action int64 [B] (or [B, D]; float32 [B, D] for a Box)."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Nested dict of tensors and plain values, enough to continue (see ``exact_resume``)."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the current observations."""

    def carried(self) -> Carried | None:
        """The state that the next step starts from; None where a step needs the host.

        An environment that returns it can be recorded as a CUDA graph: every step runs the same
        operations on the device, never waits for the host or reads a number from it, and depends
        on no other state.
        """
        return None

    def carry(self, state: Any) -> None:
        """Continue from a ``state`` of ``carried``: the same values in other tensors."""
        raise TypeError(f"{type(self).__name__} carries no state on the device")

    def keep_task(self, rows: Tensor | None) -> None:
        """Choose environments whose next episodes repeat their present task.

        The task is what an episode draws before its first step: a level, a goal, the chances of
        arms. What a step draws is drawn anew. The choice holds until the next call; ``reset``
        starts new tasks in any case. It is no part of ``state_dict`` or ``carried``.

        Args:
            rows: bool [B]; None chooses no environment.

        Raises:
            ValueError: these environments cannot repeat a task.
        """
        raise ValueError(
            f"{type(self).__name__} cannot repeat a task, as trials do (allowed: tensor "
            "environments, and Gymnasium's by `make(id, trial=K)`)"
        )

    def goal_reward(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        """The reward, and whether the episode ends, for achieved and desired goals [*N, ...].

        Returns a reward float32 ``[*N]`` and a bool ``[*N]``, which depend on the goals alone.
        They equal what ``step`` would have returned if the goal had been ``desired``.
        """
        raise TypeError(f"{type(self).__name__} has no goals")

    def cue(self) -> Cue | None:
        """The cues of the present episodes; None: the task has none, or does not tell.

        Experiments on memories read it (``memrl probe``); it changes nothing.
        """
        return None

    def choice(self, action: Tensor) -> Tensor | None:
        """The cue that an episode ends with if ``action`` [B] is taken now, int64 [B].

        It is numbered as ``Cue.identity``, and -1 where the action chooses none. None without cues,
        and where the right action does not tell which cue it was chosen for.
        """
        return None

    def render(self, index: int = 0) -> Any:
        """An image of one environment as uint8 [H, W, 3] (numpy), or None if it has none."""
        return None

    def close(self) -> None:  # noqa: B027  most have nothing to release
        """Release the environments' resources."""
