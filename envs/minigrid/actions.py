"""What may be done: checked where looking does not stall the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def check_actions(action: Tensor, num_envs: int, num_actions: int) -> None:
    """Refuse actions of another shape or dtype and, on the CPU, such as are out of range.

    Raises:
        ValueError: what was given and what is allowed.
    """
    if action.dtype != torch.int64 or action.shape != (num_envs,):
        raise ValueError(f"actions are int64 [{num_envs}], not {action.dtype} {list(action.shape)}")
    if action.device.type == "cpu":  # as unsigned numbers, negative ones are too large as well
        largest = action.numpy().view(np.uint64).max()
        if largest >= num_actions:
            last = num_actions - 1
            raise ValueError(f"an action is {largest.view(np.int64)}; allowed are 0 … {last}")
