"""The last few steps of an episode, stacked for every step of a sequence."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def last_steps(
    past: Float[Tensor, "B P I"], x: Float[Tensor, "T B I"], start: Bool[Tensor, "T B"]
) -> Float[Tensor, "T B I F"]:
    """Every step and the F − 1 = P steps before it, oldest first; zeros before its episode.

    ``past`` holds the P steps before the sequence.
    """
    before, width = past.shape[1], past.shape[1] + 1
    steps = torch.cat([past.transpose(0, 1), x])  # [P + T, B, I]
    episode = start.cumsum(dim=0)  # [T, B]; ``past`` belongs to episode 0
    of_step = torch.cat([episode.new_zeros(before, x.shape[1]), episode])  # [P + T, B]
    seen = of_step.unfold(0, width, 1) == episode.unsqueeze(-1)  # [T, B, F]
    # Select, do not multiply: a step of another episode may be NaN.
    return torch.where(seen.unsqueeze(2), steps.unfold(0, width, 1), 0)
