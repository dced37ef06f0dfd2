"""Whether a saved state fits, looked at before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def check_parts(state: Mapping[str, Any], own: Mapping[str, Any], agent: str) -> None:
    """Whether all parts that an agent saves are there.

    Raises:
        ValueError: some are not; they are named.
    """
    missing = sorted(set(own) - set(state))
    if missing:
        raise ValueError(f"the saved state is not one of {agent}: it lacks {', '.join(missing)}")


def check_weights(network: nn.Module, saved: Mapping[str, Any]) -> None:
    """Whether weights are those of a network like this one.

    Raises:
        ValueError: they are not; the first that differs is named.
    """
    own = network.state_dict()
    odd = sorted(set(own) ^ set(saved))
    odd += [name for name in own if name in saved and own[name].shape != saved[name].shape]
    if odd:
        shapes = [list(d[odd[0]].shape) if odd[0] in d else "missing" for d in (saved, own)]
        raise ValueError(
            f"the saved policy is not the one configured here: {odd[0]} is {shapes[0]} there and "
            f"{shapes[1]} here"
        )
