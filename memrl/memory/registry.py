"""The menu of memories: names, option schemas, construction."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from memrl.memory.core import MemoryCore

C = TypeVar("C", bound=type[MemoryCore[Any]])
_CORES: dict[str, type[MemoryCore[Any]]] = {}


def register(name: str) -> Callable[[C], C]:
    """Class decorator: make a core available as ``memory=<name>``."""

    def add(cls: C) -> C:
        if name in _CORES and _CORES[name].__qualname__ != cls.__qualname__:
            raise ValueError(f"two memories are called {name!r}: {_CORES[name]} and {cls}")
        _CORES[name] = cls
        return cls

    return add


def names() -> list[str]:
    """Registered memories, in alphabetical order."""
    return sorted(_CORES)


def core_class(name: str) -> type[MemoryCore[Any]]:
    """The class behind a name.

    Raises:
        ValueError: no memory has that name; the nearest one is named.
    """
    if name not in _CORES:
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown memory {name!r}{hint} (known: {', '.join(names())})")
    return _CORES[name]


def schema(name: str) -> type[BaseModel]:
    """The options of a memory as a strict pydantic model, read off its constructor."""
    cls = core_class(name)
    hints = get_type_hints(cls.__init__, include_extras=True)
    options: dict[str, Any] = {
        option: (hints[option], ... if parameter.default is parameter.empty else parameter.default)
        for option, parameter in inspect.signature(cls.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", strict=True, frozen=True)
    return create_model(f"{cls.__name__}Options", __config__=config, **options)


def build(name: str, in_dim: int, options: Mapping[str, Any] | None = None) -> MemoryCore[Any]:
    """Check ``options`` against the schema and construct the core.

    Raises:
        ValueError: an unknown memory or option, or a value out of range: what was given, what is
            allowed, and the nearest match.
    """
    model = schema(name)
    try:
        checked = model(**(options or {}))
    except ValidationError as error:
        raise ValueError(_explain(name, model, error)) from None
    return core_class(name)(in_dim, **dict(checked))


def _explain(name: str, model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    option = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(option, list(model.model_fields), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(model.model_fields) or "none"
        return f"memory {name!r} has no option {option!r}{hint} (options: {known})"
    hint = ""
    if first["type"] == "literal_error":
        allowed = get_args(model.model_fields[option].annotation)
        words = [word for word in allowed if isinstance(word, str)]
        near = difflib.get_close_matches(str(first["input"]), words, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"memory {name!r}, option {option}={first['input']!r}: {first['msg'].lower()}{hint}"
