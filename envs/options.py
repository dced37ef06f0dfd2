"""The options of a task and their types, read from the signature of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_type_hints

import gymnasium
from gymnasium.envs.registration import load_env_creator
from pydantic import ConfigDict, TypeAdapter, ValidationError

from memrl.envs.adapters.vectorization import vector_env
from memrl.errors import nearest

_FINITE = ConfigDict(allow_inf_nan=False)  # as in memrl.options.Strict
_SET_BY_MAKE = ("self", "num_envs", "device")
_OF_GYMNASIUM = ("max_episode_steps",)  # options of gymnasium.make that change a task
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def checked_options(id: str, build: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options, with integers converted to floats where the constructor takes floats.

    Args:
        id: of the task, for errors.
        build: the constructor, perhaps a `functools.partial`.
        options: its keyword arguments.

    Raises:
        ValueError: an unknown option, or a value of another type. The constructor checks ranges.
    """
    known, types, checked = options_of(build), _types(build), {}
    for option, value in options.items():
        if option not in known:
            allowed, hint = ", ".join(known) or "none", nearest(option, known)
            raise ValueError(f"{id} has no option {option!r}, allowed: {allowed}{hint}")
        try:
            adapter = TypeAdapter(types[option], config=_FINITE)
            checked[option] = adapter.validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise ValueError(f"{id}: {option}={value!r}: {reason}") from None
    return checked


def options_of(build: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters of a class or function, without those that `make` sets.

    If a constructor takes ``**kwargs``, the names include the parameters of its base class.
    """
    names: dict[str, None] = {}
    for maker in _makers(build):
        parameters = inspect.signature(maker).parameters.values()
        names |= {each.name: None for each in parameters if each.kind not in _STARRED}
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
    return tuple(name for name in names if name not in _SET_BY_MAKE)


def options_of_original(id: str) -> tuple[str, ...]:
    """Named options of a registered id: the adapter's, Gymnasium's and its constructor's."""
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
    """The constructors of a class and its bases, or the function itself."""
    classes = build.__mro__ if inspect.isclass(build) else ()
    return [vars(owner)["__init__"] for owner in classes if "__init__" in vars(owner)] or [build]


def _types(build: Callable[..., Any]) -> dict[str, Any]:
    maker = build.func if isinstance(build, partial) else build
    hints: dict[str, Any] = {}
    for each in reversed(_makers(maker)):
        if inspect.isfunction(each):
            hints |= get_type_hints(each)
    return hints
