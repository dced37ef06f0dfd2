"""Schedules as plain data: numbers, and Stable-Baselines3's classes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat, final

from stable_baselines3.common import utils

Schedule = float | Callable[[float], float]
GivenSchedule = SupportsFloat | Callable[[float], float]  # a number may be NumPy's

SB3_SCHEDULES = {  # SB3's classes and the fields that they are built from
    "ConstantSchedule": ("val",),
    "LinearSchedule": ("start", "end", "end_fraction"),
    "FloatSchedule": ("value_schedule",),
}


@final
@dataclass(frozen=True)
class Constant:
    """A number as a function of the remaining progress."""

    value: float

    def __call__(self, progress_remaining: float) -> float:
        return self.value


@final
@dataclass(frozen=True)
class Missing:
    """Stands for a function that a file could not contain."""

    name: str  # of the function

    def __call__(self, progress_remaining: float) -> float:
        raise ValueError(f"the schedule {self.name} was a function, which a file cannot contain")


def as_function(schedule: Schedule) -> Callable[[float], float]:
    """A function unchanged, a number as a constant one."""
    return schedule if callable(schedule) else Constant(float(schedule))


def value_at(schedule: Schedule, progress_remaining: float) -> float:
    """The schedule's value; progress goes from 1 to 0."""
    return float(as_function(schedule)(progress_remaining))


def initial_value(schedule: Schedule) -> float:
    """A number unchanged, for its range check; 1 for a function, which cannot be checked."""
    if isinstance(schedule, Constant):
        return schedule.value
    return 1.0 if callable(schedule) else float(schedule)


def initial_rate(schedule: Schedule) -> float:
    """The value at the start; 0 for a function that is `Missing`."""
    return 0.0 if isinstance(schedule, Missing) else value_at(schedule, 1.0)


def need_functions(schedules: Mapping[str, Any]) -> None:
    """Check that no schedule of a loaded model is missing.

    Raises:
        ValueError: some are; the message names all of them.
    """
    lost = {name: each for name, each in schedules.items() if isinstance(each, Missing)}
    if lost:
        were = ", ".join(f"{name} ({each.name})" for name, each in lost.items())
        again = ", ".join(f"{name}=…" for name in lost)
        raise ValueError(
            f"{were} cannot be in a file, since a function is code: to learn, pass it again as "
            f"load(path, {again})"
        )


def to_data(schedule: Schedule | None) -> Any:
    """A number, None, an SB3 class with its fields, or the name of another function."""
    match schedule:
        case Constant():
            return schedule.value
        case Missing():
            return {"function": schedule.name}
    if not callable(schedule):
        return schedule
    name = type(schedule).__name__
    if name in SB3_SCHEDULES and type(schedule) is getattr(utils, name, None):
        return {name: {field: to_data(getattr(schedule, field)) for field in SB3_SCHEDULES[name]}}
    return {"function": getattr(schedule, "__qualname__", name)}


def from_data(data: Any) -> Schedule | None:
    """The schedule that `to_data` was given; `Missing` in place of a function."""
    if not isinstance(data, Mapping):
        return data  # type: ignore[no-any-return]
    ((kind, fields),) = data.items()
    if kind not in SB3_SCHEDULES:
        return Missing(fields)
    parts = {field: from_data(value) for field, value in fields.items()}
    if lost := next((part for part in parts.values() if isinstance(part, Missing)), None):
        return lost
    return getattr(utils, kind)(**parts)  # type: ignore[no-any-return]
