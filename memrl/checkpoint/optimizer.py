"""Save and load an optimiser's state without its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch.optim import Optimizer


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """The optimiser's state (moments) of every parameter, by the parameter's index."""
    return {str(index): state for index, state in optimizer.state_dict()["state"].items()}


def load_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Load ``moments``; the optimiser's own hyperparameters, such as lr, stay.

    ``saved`` is copied, since the optimiser modifies its state in place.
    """
    state = optimizer.state_dict()
    state["state"] = {int(index): deepcopy(moment) for index, moment in saved.items()}
    optimizer.load_state_dict(state)
