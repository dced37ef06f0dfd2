"""Weight initialisation by the habits of PPO: orthogonal, with a gain per use."""

from __future__ import annotations

import math

from torch import nn


def linear(in_dim: int, out_dim: int, gain: float = math.sqrt(2.0)) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias; √2 suits a ReLU behind it."""
    layer = nn.Linear(in_dim, out_dim)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
