"""What a novelty bonus is: paid once a step, perhaps learned once a rollout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.rollout.env import Obs


class BonusContext(NamedTuple):
    """What a bonus is made for."""

    num_envs: int  # B
    observation_space: spaces.Dict  # of one environment
    action_space: spaces.Space[Any]  # likewise
    device: torch.device  # of observations and payments
    keys: tuple[str, ...]  # the entries of an observation that count as what was seen
    seed: int  # of all draws but those of new networks, which are from torch's own generator


class Experience(NamedTuple):
    """A rollout, as far as a bonus learns from it."""

    obs: Obs  # each [T, B, ...]
    action: Tensor  # [T, B, ...]  chosen at that observation
    start: Tensor  # bool [T, B]  the observation opens an episode
    valid: Tensor  # bool [T, B]  False: no step, but a reset that took one
    now: Obs  # each [B, ...]  what came after the last step

    @property
    def goes_on(self) -> Tensor:
        """Bool [T, B]: the next row's observation is what this action led to, in one episode."""
        return torch.cat([~self.start[1:], torch.zeros_like(self.start[:1])])


class Bonus(ABC):
    """Pays for what is new in an episode.

    ``agent.bonus.kind=module:Name`` builds ``Name(context, **options)``: a ``BonusContext``, and
    the further keys of ``agent.bonus``, which are the keyword-only arguments of the constructor.
    These need types, and cannot be called ``kind``, ``scale``, ``anneal`` or ``key``.

    The first observation of an episode is known from the start and earns nothing, nor does the step
    that ends one: its observation belongs to the next. What a bonus keeps of an episode goes on
    from rollout to rollout. ``pay`` asks nothing of the host and edits tensors in their place, so
    that a captured rollout pays too.
    """

    @abstractmethod
    def begin(self, obs: Obs) -> None:
        """Every row opens an episode with ``obs``."""

    @abstractmethod
    def pay(self, obs: Obs, opens: Tensor) -> Tensor:
        """What the step to ``obs`` earns, ≥ 0 [B]; rows that ``opens`` begin anew and earn 0."""

    def normalise(self, paid: Tensor, valid: Tensor) -> Tensor:
        """The payments [T, B] of a rollout as rewards, in the bonus's own unit; once a rollout."""
        return paid

    def learn(self, seen: Experience) -> dict[str, Tensor]:
        """Learn from a rollout after it was paid; scalars to report, by metric."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: it belongs to another bonus.
        """


def need_entries(state: Mapping[str, Any] | None, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """A saved state of a bonus, if it has the entries of one's own, as large.

    Raises:
        ValueError: it has not: another bonus was saved, one of other sizes, or none.
    """
    held = set() if state is None else set(state)
    if state is None or held != set(own):
        found = ", ".join(sorted(held)) or "none"
        raise ValueError(f"the saved bonus is another one: it holds {found}, not {', '.join(own)}")
    for name, entry in own.items():
        if not isinstance(entry, Tensor):
            continue
        there, here = tuple(state[name].shape), tuple(entry.shape)
        if there != here:
            raise ValueError(f"the saved bonus is another one: {name} is {there}, not {here}")
    return state
