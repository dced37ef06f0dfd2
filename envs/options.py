"""Options of a task, read off what makes it: which there are, and of which types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_type_hints

import gymnasium
from gymnasium.envs.registration import load_env_creator
from pydantic import TypeAdapter, ValidationError

from memrl.envs.adapters.vectorization import vector_env
from memrl.registry import nearest

GIVEN = ("self", "num_envs", "device")  # `make` fills these in
_OF_GYMNASIUM = ("max_episode_steps",)  # those of gymnasium.make that change a task
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def checked_options(id: str, build: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options, a whole number made a float where one is asked for.

    Args:
        id: of the task, for errors.
        build: a constructor, some of its arguments perhaps given already (`functools.partial`).
        options: what it shall be called with besides.

    Raises:
        ValueError: an unknown option, or a value of another type; ranges are the constructor's.
    """
    known, types, checked = options_of(build), _types(build), {}
    for option, value in options.items():
        if option not in known:
            allowed, hint = ", ".join(known) or "none", nearest(option, known)
            raise ValueError(f"{id} has no option {option!r}, allowed: {allowed}{hint}")
        try:
            checked[option] = TypeAdapter(types[option]).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise ValueError(f"{id}: {option}={value!r}: {reason}") from None
    return checked


def options_of(build: Callable[..., Any]) -> tuple[str, ...]:
    """The named parameters of a class or a function, but for those that `make` fills in.

    Where a constructor hands further ones to its base class, those of the base are among them.
    """
    names: dict[str, None] = {}
    for maker in _makers(build):
        parameters = inspect.signature(maker).parameters.values()
        names |= {each.name: None for each in parameters if each.kind not in _STARRED}
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
    return tuple(name for name in names if name not in GIVEN)


def options_of_original(id: str) -> tuple[str, ...]:
    """What the adapter, Gymnasium and the constructor behind a registered id take by name."""
    return tuple(dict.fromkeys(_original(id)))


def _original(id: str) -> Iterator[str]:
    spec = gymnasium.spec(id.rpartition(":")[2])
    yield from (name for name in options_of(vector_env) if name not in ("id", "num", "kwargs"))
    yield from _OF_GYMNASIUM
    entry = spec.entry_point or spec.vector_entry_point
    if entry is not None:
        maker = load_env_creator(entry) if isinstance(entry, str) else entry
        yield from options_of(maker)


def _makers(build: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The constructors of a class, its own first; of a function, itself."""
    classes = build.__mro__ if inspect.isclass(build) else ()
    return [vars(owner)["__init__"] for owner in classes if "__init__" in vars(owner)] or [build]


def _types(build: Callable[..., Any]) -> dict[str, Any]:
    maker = build.func if isinstance(build, partial) else build
    hints: dict[str, Any] = {}
    for each in reversed(_makers(maker)):
        if inspect.isfunction(each):
            hints |= get_type_hints(each)
    return hints
