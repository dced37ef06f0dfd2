"""Packages of environments: their id prefixes, how to install them, and how to import them.

Each provider module has one function, ``register(id)``. It imports the package and makes sure that
the id is registered with Gymnasium.
"""

from __future__ import annotations

import importlib
from typing import Final, NamedTuple

import gymnasium

from memrl.errors import install_command


class Provider(NamedTuple):
    """The package of all ids that start with one of ``prefixes``."""

    name: str
    prefixes: tuple[str, ...]
    install: str  # the command for users
    module: str  # has ``register``; or the package itself, if importing it registers its ids


def _module(name: str) -> str:
    return f"{__name__}.{name}"


PROVIDERS: Final = (
    Provider("minigrid", ("MiniGrid-", "BabyAI-"), "pip install minigrid", "minigrid"),
    Provider("popgym", ("popgym-",), install_command("popgym"), "popgym"),
    Provider("ale-py", ("ALE/",), install_command("atari"), _module("atari")),
    Provider("envpool", ("envpool/",), install_command("envpool"), _module("pools")),
    Provider(
        "memory-gym",
        ("MysteryPath", "MortarMayhem", "SearingSpotlights", "Endless-"),
        "pip install --no-deps memory-gym==1.0.2",  # its pins ask for gymnasium 0.29
        _module("memory_gym"),
    ),
    Provider("miniworld", ("MiniWorld-",), install_command("miniworld"), _module("miniworld")),
    Provider("crafter", ("crafter/",), install_command("crafter"), _module("crafter")),
    Provider("bsuite", ("bsuite/",), install_command("bsuite"), _module("bsuite")),
)


# Files that no installation contains, by the prefix of ids.
MISSING_FILES: Final = {
    "MiniGrid-WFC-": "no wheel of minigrid holds the pattern images of its WFC tasks; only its "
    "source has them"
}


def missing_files(id: str) -> str:
    """Why a task cannot run with any installation; empty if no reason is known."""
    return next((why for start, why in MISSING_FILES.items() if id.startswith(start)), "")


def provider_of(id: str) -> Provider | None:
    """The provider of an id; None if no prefix matches."""
    return next((p for p in PROVIDERS if id.startswith(p.prefixes)), None)


def provide(id: str) -> None:
    """Register an id of a provider with Gymnasium; other ids are left alone.

    Raises:
        ValueError: the package is not installed; the message says how to install it.
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
