"""The options of a task and their types, read from the signature of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

import gymnasium
from gymnasium.envs.registration import load_env_creator
from pydantic import ConfigDict, TypeAdapter, ValidationError

from memrl.envs.adapters.vectorization import vector_env
from memrl.errors import nearest
from memrl.options import pythons_number

_FINITE = ConfigDict(allow_inf_nan=False)  # as in memrl.options.Strict
_OF_MAKE = ("id", "num", "trial", "kwargs")  # parameters of `vector_env` that are no options
_SET_BY_MAKE = ("self", "num_envs", "device")
REQUIRED = inspect.Parameter.empty
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
            checked[option] = adapter.validate_python(pythons_number(value), strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise ValueError(f"{id}: {option}={value!r}: {reason}") from None
    return checked


def options_of(build: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a class or function with their defaults, without those that `make` sets.

    A required one has the default ``REQUIRED``. If a constructor takes ``**kwargs``, the
    parameters of its base class are among them.
    """
    found: dict[str, Any] = {}
    for maker in _makers(build):
        parameters = inspect.signature(maker).parameters.values()
        named = {each.name: each.default for each in parameters if each.kind not in _STARRED}
        found |= {name: default for name, default in named.items() if name not in found}
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
    return {name: found[name] for name in found if name not in _SET_BY_MAKE}


def options_of_original(id: str) -> dict[str, Any]:
    """Options of a registered id as `options_of`: the adapter's, Gymnasium's, its constructor's."""
    spec = gymnasium.spec(id.rpartition(":")[2])
    adapters = {k: v for k, v in options_of(vector_env).items() if k not in _OF_MAKE}
    of_gymnasium = {"max_episode_steps": spec.max_episode_steps}  # those that change a task
    entry = spec.entry_point or spec.vector_entry_point
    if entry is None:
        return {**adapters, **of_gymnasium}
    own = options_of(load_env_creator(entry) if isinstance(entry, str) else entry)
    return {**adapters, **of_gymnasium, **own, **spec.kwargs}


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
