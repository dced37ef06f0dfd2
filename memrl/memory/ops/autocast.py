"""Whether autocast is on."""

from __future__ import annotations

import torch


def autocasting(device: torch.device) -> bool:
    """Whether autocast is on for tensors of a device; on ``meta`` there is none to turn on."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)
