"""Checks of a saved agent state, made before any of it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn


def check_parts(parts: Mapping[str, tuple[object, object]]) -> None:
    """Raise ValueError if a part of an agent, here and saved by its option, is off in one only."""
    for option, (here, there) in parts.items():
        if (here is None) != (there is None):
            saved, configured = ("off" if x is None else "on" for x in (there, here))
            raise ValueError(
                f"{option} was {saved} when the state was saved, allowed: {configured}, as "
                "configured here"
            )


def check_keys(saved: Mapping[str, Any], wanted: Iterable[str], agent: str) -> None:
    """Raise ValueError if a state lacks a key that this agent saves."""
    missing = [key for key in wanted if key not in saved]
    if missing:
        raise ValueError(
            f"the saved state is not one of agent={agent}: it lacks {', '.join(missing)}"
        )


def check_num_envs(saved: int, here: int) -> None:
    """Raise ValueError if a state was saved with another number of environments."""
    if saved != here:
        raise ValueError(
            f"the state was saved with {saved} environments, allowed: {here}, as configured here"
        )


def check_weights(saved: Mapping[str, Tensor], module: nn.Module, name: str) -> None:
    """Raise ValueError if weights are missing, superfluous or of another shape."""
    own = module.state_dict()
    for key in [*own, *saved]:
        here = tuple(own[key].shape) if key in own else "nothing"
        there = tuple(saved[key].shape) if key in saved else "nothing"
        if here != there:
            raise ValueError(
                f"the saved {name} is not the one configured here: {key} is {there} in the "
                f"checkpoint, {here} here"
            )
