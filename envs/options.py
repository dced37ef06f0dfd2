"""Options of tensor environments, read off their constructors: which there are, of which types."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from memrl.menu import nearest

_GIVEN = ("num_envs", "device")  # by whoever makes the environment


def checked_options(id: str, build: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options, a whole number made a float where one is asked for.

    Args:
        id: of the task, for errors.
        build: a constructor, some of its arguments perhaps given already (`functools.partial`).
        options: what it shall be called with besides.

    Raises:
        ValueError: an unknown option, or a value of another type; ranges are the constructor's.
    """
    known = [name for name in inspect.signature(build).parameters if name not in _GIVEN]
    types = _types(build)
    checked = {}
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


def _types(build: Callable[..., Any]) -> dict[str, Any]:
    maker = build.func if isinstance(build, partial) else build
    return get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
