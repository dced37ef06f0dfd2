"""Schedules as plain data: numbers, and Stable-Baselines3's classes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common import utils

Schedule = float | Callable[[float], float]

SB3_SCHEDULES = {  # SB3's classes and the fields that they are built from
    "ConstantSchedule": ("val",),
    "LinearSchedule": ("start", "end", "end_fraction"),
    "FloatSchedule": ("value_schedule",),
}


def value_at(schedule: Schedule, progress_remaining: float) -> float:
    """The schedule's value; progress goes from 1 to 0."""
    return float(schedule(progress_remaining)) if callable(schedule) else float(schedule)


def initial_value(schedule: Schedule) -> float:
    """A number unchanged, for its range check; 1 for a function, which cannot be checked."""
    return 1.0 if callable(schedule) else float(schedule)


def to_data(schedule: Schedule | None) -> Any:
    """A number, None, an SB3 class with its fields, or the name of another function."""
    if not callable(schedule):
        return schedule
    name = type(schedule).__name__
    if name in SB3_SCHEDULES and type(schedule) is getattr(utils, name, None):
        return {name: {field: to_data(getattr(schedule, field)) for field in SB3_SCHEDULES[name]}}
    return {"function": getattr(schedule, "__qualname__", name)}


def from_data(data: Any, name: str) -> Schedule | None:
    """The schedule that `to_data` was given; ``name`` is the argument's name.

    Raises:
        ValueError: it was a function, which a file cannot contain.
    """
    if not isinstance(data, Mapping):
        return data  # type: ignore[no-any-return]
    ((kind, fields),) = data.items()
    if kind not in SB3_SCHEDULES:
        raise ValueError(
            f"{name} was the function {fields}, which a file cannot contain: pass it again as "
            f"load(path, {name}=…)"
        )
    parts = {field: from_data(value, name) for field, value in fields.items()}
    return getattr(utils, kind)(**parts)  # type: ignore[no-any-return]
