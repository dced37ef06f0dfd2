"""Packages of environments: who provides an id, how its package is had, and what it needs to run.

A provider is a module with one function, ``register(id)``, which imports its package (in the one
way in which that works today) and leaves the id registered with Gymnasium.
"""

from __future__ import annotations

import importlib
from typing import Final, NamedTuple

import gymnasium


class Provider(NamedTuple):
    """Where ids that begin with one of ``prefixes`` come from."""

    name: str
    prefixes: tuple[str, ...]
    install: str  # what a person types
    module: str  # its ``register`` is called; a package that registers by import names itself


def _module(name: str) -> str:
    return f"{__name__}.{name}"


PROVIDERS: Final = (
    Provider("minigrid", ("MiniGrid-", "BabyAI-"), "pip install minigrid", "minigrid"),
    Provider("popgym", ("popgym-",), "pip install 'memrl[popgym]'", "popgym"),
    Provider("ale-py", ("ALE/",), "pip install 'memrl[atari]'", _module("atari")),
    Provider("envpool", ("envpool/",), "pip install 'memrl[envpool]'", _module("pools")),
    Provider(
        "memory-gym",
        ("MysteryPath", "MortarMayhem", "SearingSpotlights", "Endless-"),
        "pip install --no-deps memory-gym==1.0.2",  # its pins ask for gymnasium 0.29
        _module("memory_gym"),
    ),
    Provider("miniworld", ("MiniWorld-",), "pip install 'memrl[miniworld]'", _module("miniworld")),
    Provider("crafter", ("crafter/",), "pip install 'memrl[crafter]'", _module("crafter")),
    Provider("bsuite", ("bsuite/",), "pip install 'memrl[bsuite]'", _module("bsuite")),
)


# What no installation brings, by how ids begin.
MISSING_FILES: Final = {
    "MiniGrid-WFC-": "no wheel of minigrid holds the pattern pictures of its WFC tasks, "
    "which are in its source alone"
}


def missing_files(id: str) -> str:
    """What a task needs and no installation brings; empty where nothing is known to be amiss."""
    return next((why for start, why in MISSING_FILES.items() if id.startswith(start)), "")


def provider_of(id: str) -> Provider | None:
    """The provider of an id, by how it begins."""
    return next((p for p in PROVIDERS if id.startswith(p.prefixes)), None)


def provide(id: str) -> None:
    """See to it that Gymnasium knows an id, if one of the providers has it.

    Raises:
        ValueError: the package is not there; the message says how to get it.
    """
    provider = provider_of(id)
    if provider is None or id in gymnasium.registry:
        return
    try:
        module = importlib.import_module(provider.module)
        if provider.module.startswith(__name__):
            module.register(id)
    except ImportError as error:
        raise ValueError(
            f"{id} needs the package {provider.name} ({provider.install}): {error}"
        ) from error
