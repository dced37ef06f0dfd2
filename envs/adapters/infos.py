"""What is read of an environment's info: its action mask, success and returns of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memrl.envs.trials import RETURNS
from memrl.rollout.masks import mask_array
from memrl.rollout.spaces import MASK, Array

SUCCESS = "is_success"


def known_info(info: Any, mask_size: int | None, who: str, verb: str) -> dict[str, Any]:
    """The entries of an info that are read, as NumPy values of one type each.

    All else is left out, since vector environments stack infos and fail where two of them differ.

    Args:
        info: of `reset` or `step`; anything but a mapping is empty.
        mask_size: entries of an action mask; None for actions that no mask restricts.
        who: the environment, for errors.
        verb: the method that returned the info, for errors.

    Raises:
        EnvOutputError: the mask is no list of flags, or has another length.
    """
    known: dict[str, Any] = {}
    if not isinstance(info, Mapping):
        return known
    if mask_size is not None and info.get(MASK) is not None:
        what = f"{who}: the info of {verb} has the {MASK}"
        known[MASK] = mask_array(info[MASK], mask_size, what)
    for name in (SUCCESS, *RETURNS):
        value = number(info.get(name))
        if value is not None:
            known[name] = value
    return known


def number(value: Any) -> float | None:
    """A number or a flag as float; None for anything else."""
    if isinstance(value, bool | int | float | np.number | np.bool_ | np.ndarray):
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "buif":
            return float(array.item())
    return None


def numbers(values: Any, rows: Array, size: int) -> Array:
    """The numbers among the values of ``rows`` (bool [size]), NaN elsewhere: float32 [size]."""
    found = np.full(size, np.nan, dtype=np.float32)
    array = np.asarray(values)
    if array.shape == (size,) and array.dtype.kind in "buif":
        found[rows] = array[rows].astype(np.float32)
    elif array.shape == (size,):  # objects
        for row in np.flatnonzero(rows):
            value = number(array[row])
            found[row] = np.nan if value is None else value
    return found
