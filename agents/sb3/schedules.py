"""Schedules as data: numbers and Stable-Baselines3's own classes, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common import utils

Schedule = float | Callable[[float], float]

KNOWN = {  # SB3's classes and the fields that make them
    "ConstantSchedule": ("val",),
    "LinearSchedule": ("start", "end", "end_fraction"),
    "FloatSchedule": ("value_schedule",),
}


def at(schedule: Schedule, progress_remaining: float) -> float:
    """The schedule's value; progress goes from 1 to 0."""
    return float(schedule(progress_remaining)) if callable(schedule) else float(schedule)


def at_first(schedule: Schedule) -> float:
    """A number as it is, to be checked; 1 for a function, whose values show when it is called."""
    return 1.0 if callable(schedule) else float(schedule)


def to_data(schedule: Schedule | None) -> Any:
    """A number, None, a known class with its fields, or a note that there was a function."""
    if not callable(schedule):
        return schedule
    name = type(schedule).__name__
    if name in KNOWN and type(schedule) is getattr(utils, name, None):
        return {name: {field: to_data(getattr(schedule, field)) for field in KNOWN[name]}}
    return {"function": getattr(schedule, "__qualname__", name)}


def from_data(data: Any, name: str) -> Schedule | None:
    """What `to_data` was given; ``name`` is the argument it was.

    Raises:
        ValueError: it was a function, which no file holds.
    """
    if not isinstance(data, Mapping):
        return data  # type: ignore[no-any-return]
    ((kind, fields),) = data.items()
    if kind not in KNOWN:
        raise ValueError(
            f"{name} was the function {fields}, and a file holds no code: pass it again, "
            f"load(path, {name}=…)"
        )
    parts = {field: from_data(value, name) for field, value in fields.items()}
    return getattr(utils, kind)(**parts)  # type: ignore[no-any-return]
