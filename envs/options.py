"""Which options a task takes: read off what makes it, a class or a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from memrl.envs.copies import vector_env

GIVEN = ("self", "num_envs", "device")  # `make` fills these in
_OF_GYMNASIUM = ("max_episode_steps",)  # those of gymnasium.make that change a task


def options_of(build: Callable[..., Any]) -> tuple[str, ...]:
    """The named parameters of a class or a function, but for those that `make` fills in.

    Where a constructor hands further ones to its base class, those of the base are among them.
    """
    classes = build.__mro__ if inspect.isclass(build) else ()
    makers = [vars(owner)["__init__"] for owner in classes if "__init__" in vars(owner)] or [build]
    names: dict[str, None] = {}
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        names |= {each.name: None for each in parameters if each.kind not in _STARRED}
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
    return tuple(name for name in names if name not in GIVEN)


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
