"""Action masks: their length for an action space, and lists and arrays as masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from memrl.errors import EnvOutputError, shortened

MASK_METHOD = "action_masks"  # the environments' method that sb3-contrib's MaskablePPO calls


def mask_size(space: spaces.Space[Any]) -> int | None:
    """Entries of an action mask of an action space; None where no mask can restrict it."""
    match space:
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return int(space.nvec.sum())
        case spaces.MultiBinary():
            return 2 * int(np.prod(space.shape))
    return None


def mask_array(mask: Any, size: int, what: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """One environment's action mask, a list or an array of flags, as bool [size].

    Raises:
        EnvOutputError: it has another length or other entries; ``what`` names it in the error.
    """
    try:
        values = np.asarray(mask).reshape(-1)
    except ValueError:  # lists of different lengths
        values = np.asarray([None])
    if values.dtype.kind not in "buif":
        raise EnvOutputError(
            f"{what} {shortened(mask)}, allowed: {size} flags, one for each action"
        )
    if values.size != size:
        raise EnvOutputError(
            f"{what} of {values.size} entries, allowed: {size}, one for each action"
        )
    return values.astype(bool)
