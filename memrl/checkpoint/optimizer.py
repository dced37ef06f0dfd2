"""What an optimiser has learned of its parameters, as a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch.optim import Optimizer


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """Its state for every parameter, by the parameter's number."""
    return {str(number): kept for number, kept in optimizer.state_dict()["state"].items()}


def load_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Go on from ``moments``; step sizes stay one's own.

    What was saved is copied: the optimiser writes into its state, and it is another's.
    """
    state = optimizer.state_dict()
    state["state"] = {int(number): deepcopy(kept) for number, kept in saved.items()}
    optimizer.load_state_dict(state)
