"""Random inputs in double precision, and cores whose parameters are all random."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def perturbed(core: nn.Module, std: float = 0.3) -> nn.Module:
    """The core in double precision, with noise on every parameter."""
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += std * torch.randn_like(parameter)
    return core.double()
