"""Is a saved state of this agent? Asked before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn


def check_keys(saved: Mapping[str, Any], wanted: Iterable[str], agent: str) -> None:
    """Raises ValueError where a state lacks a part that this agent saves."""
    missing = [key for key in wanted if key not in saved]
    if missing:
        raise ValueError(
            f"the saved state is not one of agent={agent}: it lacks {', '.join(missing)}"
        )


def check_copies(saved: int, here: int) -> None:
    """Raises ValueError where a state is that of another number of environments."""
    if saved != here:
        raise ValueError(f"a state of {saved} environments was saved; allowed are {here}, as here")


def check_weights(saved: Mapping[str, Tensor], module: nn.Module, name: str) -> None:
    """Raises ValueError where weights are missing, left over, or of another shape."""
    own = module.state_dict()
    for key in [*own, *saved]:
        here = tuple(own[key].shape) if key in own else "nothing"
        there = tuple(saved[key].shape) if key in saved else "nothing"
        if here != there:
            raise ValueError(
                f"the saved {name} is not the one configured here: {key} is {there} there, "
                f"{here} here"
            )
