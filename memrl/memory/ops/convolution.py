"""A convolution over the last few steps of an episode."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from memrl.memory.ops.last_steps import last_steps


def short_convolution(
    past: Float[Tensor, "B P E"],
    x: Float[Tensor, "T B E"],
    weight: Float[Tensor, "E F"],
    bias: Float[Tensor, " E"],
    start: Bool[Tensor, "T B"],
) -> Float[Tensor, "T B E"]:
    """Σ_f w_f x_{t-F+1+f} + b in every channel, over the steps of the episode.

    ``past`` holds the F - 1 = P steps before the sequence. Only first derivatives are supported.
    """
    return (last_steps(past, x, start) * weight).sum(dim=-1) + bias
