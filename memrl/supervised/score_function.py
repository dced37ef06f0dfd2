"""The gradient of choices that were drawn: their probability, by the loss that followed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def score_function(
    log_prob: Float[Tensor, "T B"], losses: Float[Tensor, "T B"]
) -> Float[Tensor, ""]:
    """Σ log π_t (L_t − b_t), whose gradient is that of the expected sum of losses (Williams 1992).

    L_t is the loss of a sequence from step t on. The baseline b_t is the mean of L_t over the other
    sequences of the batch, which leaves the gradient unbiased; 0 if there are none. The losses get
    no gradient.
    """
    following = losses.detach().flip(0).cumsum(dim=0).flip(0)  # L_t
    others = following.shape[1] - 1
    baseline = (following.sum(dim=1, keepdim=True) - following) / max(1, others)
    return torch.sum(log_prob * (following - baseline))
