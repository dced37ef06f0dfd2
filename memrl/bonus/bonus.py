"""The interface of exploration bonuses: a reward at each step, learning after each rollout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.rollout.env import Obs


class BonusContext(NamedTuple):
    """The environments that a bonus is built for, and its seed."""

    num_envs: int  # B
    observation_space: spaces.Dict  # of one environment
    action_space: spaces.Space[Any]  # likewise
    device: torch.device  # of observations and bonuses
    keys: tuple[str, ...]  # the entries of an observation that count as what was seen
    seed: int  # of all draws but those of new networks, which are from torch's own generator


class Experience(NamedTuple):
    """The parts of a rollout that a bonus learns from."""

    obs: Obs  # each [T, B, ...]
    action: Tensor  # [T, B, ...]  chosen at that observation
    start: Tensor  # bool [T, B]  the observation opens an episode
    valid: Tensor  # bool [T, B]  False: a reset, not a step
    now: Obs  # each [B, ...]  the observations after the last step

    @property
    def goes_on(self) -> Tensor:
        """Bool [T, B]: the next observation belongs to the same episode."""
        return torch.cat([~self.start[1:], torch.zeros_like(self.start[:1])])


class Bonus(ABC):
    """Rewards observations that are new in an episode.

    ``agent.bonus.kind=module:Name`` builds ``Name(context, **options)``: a ``BonusContext``, and
    the further keys of ``agent.bonus``, which are the keyword-only arguments of the constructor.
    These need types, and cannot be called ``kind``, ``scale``, ``anneal`` or ``key``.

    The first observation of an episode earns nothing. Neither does the last step of an episode,
    because its observation belongs to the next one. What a bonus stores about an episode lasts from
    rollout to rollout. ``reward`` does not synchronise with the host and edits tensors in place, so
    that a CUDA graph can capture it.
    """

    # The parts of ``state_dict``, by dotted path, that all ranks have alike; the others are a
    # rank's own, and begin anew where another number of ranks goes on.
    common: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def begin(self, obs: Obs) -> None:
        """Start an episode with ``obs`` in every environment."""

    @abstractmethod
    def reward(self, obs: Obs, opens: Tensor) -> Tensor:
        """The bonus of the step to ``obs``, ≥ 0 [B]; 0 where ``opens``, which starts an episode."""

    def normalise(self, paid: Tensor, valid: Tensor) -> Tensor:
        """Normalise the bonuses [T, B] of a rollout; called once for each rollout."""
        return paid

    def learn(self, seen: Experience) -> dict[str, Tensor]:
        """Learn from a rollout after ``normalise``; returns scalars by metric name."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: the state belongs to another bonus; nothing is changed.
        """


def need_entries(state: Mapping[str, Any] | None, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that a saved state of a bonus has the entries and shapes of ``own``; returns it.

    Raises:
        ValueError: the state belongs to another bonus, has other sizes, or is None.
    """
    held = set() if state is None else set(state)
    if state is None or held != set(own):
        found = ", ".join(sorted(held)) or "none"
        raise ValueError(f"the saved bonus has entries {found}; allowed: {', '.join(own)}")
    for name, entry in own.items():
        if not isinstance(entry, Tensor):
            continue
        there, here = tuple(state[name].shape), tuple(entry.shape)
        if there != here:
            raise ValueError(f"the saved bonus has {name} of shape {there}; allowed: {here}")
    return state
