"""The menu of memories: names, option schemas, construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from memrl.memory.core import MemoryCore
from memrl.registry import Registry

C = TypeVar("C", bound=type[MemoryCore[Any]])
REGISTRY: Registry[MemoryCore[Any]] = Registry("memory", "memories", MemoryCore, "memrl.memories")


def register(name: str) -> Callable[[C], C]:
    """Class decorator: make a core available as ``memory=<name>``."""
    return REGISTRY.register(name)


def names() -> list[str]:
    """Registered memories, in alphabetical order."""
    return REGISTRY.names()


def core_class(name: str) -> type[MemoryCore[Any]]:
    """The class behind a name, or behind ``module:Name`` where that module is imported.

    Raises:
        ValueError: no memory has that name; the nearest one is named.
    """
    return REGISTRY.find(name)


def schema(name: str) -> type[BaseModel]:
    """The options of a memory as a strict pydantic model, read off its constructor."""
    return REGISTRY.schema(name)


def build(name: str, in_dim: int, options: Mapping[str, Any] | None = None) -> MemoryCore[Any]:
    """Check ``options`` against the schema and construct the core.

    Raises:
        ValueError: an unknown memory or option, or a value out of range: what was given, what is
            allowed, and the nearest match.
    """
    return REGISTRY.build(name, in_dim, options=options)
