"""Self-imitation losses (Oh et al. 2018): imitate actions with better returns than expected."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.losses.ppo import masked_mean, mean_count


class SelfImitationLoss(NamedTuple):
    """Scalars over the valid steps of a minibatch, and the gain of every step."""

    policy: Tensor  # -log π(a|s) (R - V)₊
    value: Tensor  # ½ ‖(R - V)₊‖²
    positive: Tensor  # share of steps with R > V; only these contribute
    gain: Tensor  # [*N]  (R - V)₊, without gradient; 0 where not valid


def self_imitation_loss(
    log_prob: Float[Tensor, "*N"],
    value: Float[Tensor, "*N"],
    returns: Float[Tensor, "*N"],
    valid: Bool[Tensor, "*N"],
) -> SelfImitationLoss:
    """The terms of the loss (eq. 1-3); the caller weights and adds them.

    The policy's term treats V as a constant.
    """
    gain = torch.where(valid, returns - value, 0.0).clamp(min=0.0)
    fixed, count = gain.detach(), mean_count(valid)
    return SelfImitationLoss(
        policy=masked_mean(torch.where(valid, -log_prob, 0.0) * fixed, valid, count),
        value=0.5 * masked_mean(gain.square(), valid, count),
        positive=masked_mean((fixed > 0).to(value.dtype), valid, count),
        gain=fixed,
    )
