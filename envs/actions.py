"""Checks of actions; ranges are checked on the CPU only, where reading them stalls no device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.errors import shortened
from memrl.rollout.spaces import brief_space


def check_actions(action: Tensor, num_envs: int, space: spaces.Space[Any]) -> None:
    """Check the shape and dtype of actions and, on the CPU, their range.

    Args:
        action: [B], or [B, D] where the space has D parts.
        num_envs: B.
        space: of one action: Discrete and MultiDiscrete take int64, a Box float32.

    Raises:
        ValueError: the shape, dtype or range is wrong.
    """
    dtype = torch.float32 if isinstance(space, spaces.Box) else torch.int64
    shape = (num_envs, *(space.shape or ()))
    if action.dtype != dtype or action.shape != shape:
        wanted = f"{str(dtype).removeprefix('torch.')} {list(shape)}"
        given = f"{str(action.dtype).removeprefix('torch.')} {list(action.shape)}"
        raise ValueError(f"actions are {given}, allowed: {wanted}")
    if action.device.type != "cpu" or dtype.is_floating_point:
        return
    numbers = action.numpy().view(np.uint64)  # negative numbers become too large
    if isinstance(space, spaces.Discrete):
        largest = numbers.max()
        if largest >= space.n:
            given = largest.view(np.int64)
            raise ValueError(
                f"an action is {given}, allowed: 0 … {space.n - 1} (it is outside {space})"
            )
    elif isinstance(space, spaces.MultiDiscrete):
        wrong = (numbers >= space.nvec).any(1)
        if wrong.any():
            given, least = numbers[wrong][0].view(np.int64), 0 * space.nvec
            raise ValueError(
                f"an action is {shortened(given)}, allowed: {shortened(least)} … "
                f"{shortened(space.nvec - 1)} (it is outside {brief_space(space)})"
            )
