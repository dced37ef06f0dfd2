"""Changes of a memory's state between two steps, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor

from memrl.memory.state import where
from memrl.probing.play import NEVER, Change


def wipe(moment: Tensor, initial: Any) -> Change:
    """The initial state, once: before the observation of step ``moment`` [B] is read."""
    return lambda t, state: where(moment == t, initial, state)


def wipe_from(moment: Tensor, initial: Any) -> Change:
    """The initial state before every observation from step ``moment`` [B] on."""
    return lambda t, state: where(_since(moment, t), initial, state)


def transplant(moment: Tensor, given: Any, *, slots: bool = False) -> Change:
    """The state of another episode, once, at its moment [B]; or its ``slots`` alone."""

    def change(t: int, state: Any) -> Any:
        return where(moment == t, with_slots_of(state, given) if slots else given, state)

    return change


def all_of(changes: Iterable[Change]) -> Change:
    """One change after the other."""
    each = tuple(changes)

    def change(t: int, state: Any) -> Any:
        for one in each:
            state = one(t, state)
        return state

    return change


@final
class Capture:
    """Changes nothing; keeps the state of each row at its moment [B].

    Attributes:
        states: leaves [B, ...]; those of rows whose moment has not come are of the first step.
    """

    def __init__(self, moment: Tensor) -> None:
        self.moment = moment
        self.states: Any = None

    def __call__(self, t: int, state: Any) -> Any:
        kept = state if self.states is None else self.states
        self.states = where(self.moment == t, state, kept)
        return state


@final
class Freeze:
    """The state at a moment [B] from then on: what is observed later is not stored.

    Args:
        moment: the first step whose observation is not stored.
        slots: of the matrix alone, while controller, reads and weights go on; else of everything.
    """

    def __init__(self, moment: Tensor, *, slots: bool) -> None:
        self.moment, self.slots = moment, slots
        self._kept = Capture(moment)

    def __call__(self, t: int, state: Any) -> Any:
        self._kept(t, state)
        late = _since(self.moment, t)
        frozen = self._kept.states
        return where(late, with_slots_of(state, frozen) if self.slots else frozen, state)


def _since(moment: Tensor, t: int) -> Tensor:
    """Rows whose moment has come: bool [B]."""
    return (moment != NEVER) & (moment <= t)


def with_slots_of(state: Any, other: Any) -> Any:
    """``state`` with the memory matrices of ``other``."""
    if isinstance(state, torch.Tensor) or not has_slots(state):
        return state
    names = getattr(state, "_fields", None)
    if names and "memory" in names and "controller" in names:
        return state._replace(memory=other.memory)
    fields = [with_slots_of(own, its) for own, its in zip(state, other, strict=True)]
    return type(state)(*fields) if names else tuple(fields)


def has_slots(state: Any) -> bool:
    """Whether a controller writes to a matrix in this state (ntm, dnc, lrua, sam and sdnc)."""
    if isinstance(state, torch.Tensor):
        return False
    names = getattr(state, "_fields", ())
    return {"memory", "controller"} <= set(names) or any(map(has_slots, state))
