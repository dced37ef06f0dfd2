"""Weight initialisation as is common for PPO: orthogonal, with a gain."""

from __future__ import annotations

import math

from torch import nn


def linear(in_dim: int, out_dim: int, gain: float = math.sqrt(2.0)) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias; the default gain √2 suits a ReLU."""
    layer = nn.Linear(in_dim, out_dim)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
