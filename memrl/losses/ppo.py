"""PPO's losses (Schulman et al. 2017) over the valid steps of a minibatch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class PPOLoss(NamedTuple):
    """Scalars over the valid steps of a minibatch."""

    policy: Tensor  # clipped surrogate, eq. 7, negated
    value: Tensor  # half the mean squared error
    entropy: Tensor  # nats
    kl: Tensor  # E[(r - 1) - log r], an estimate of KL(old || new) in nats
    clipped: Tensor  # share of steps whose ratio left [1 - clip, 1 + clip]
    ratio_error: Tensor  # max |r - 1|: rounding on the first minibatch of an iteration


def masked_mean(x: Float[Tensor, "*N"], valid: Bool[Tensor, "*N"]) -> Float[Tensor, ""]:
    """The mean over valid entries; 0 when there is none."""
    weight = valid.to(x.dtype)
    return torch.where(valid, x, 0.0).sum() / weight.sum().clamp(min=1.0)


def normalise(advantage: Float[Tensor, "*N"], valid: Bool[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """Standardise over the valid steps; fewer than two are only centred."""
    centred = advantage - masked_mean(advantage, valid)
    count = valid.sum()
    squares = torch.where(valid, centred.square(), 0.0).sum()
    spread = (squares / (count - 1).clamp(min=1)).sqrt()
    return torch.where(count > 1, centred / (spread + 1e-8), centred)


def ppo_loss(
    log_prob: Float[Tensor, "*N"],
    old_log_prob: Float[Tensor, "*N"],
    advantage: Float[Tensor, "*N"],
    entropy: Float[Tensor, "*N"],
    value: Float[Tensor, "*N"],
    old_value: Float[Tensor, "*N"],
    target: Float[Tensor, "*N"],
    valid: Bool[Tensor, "*N"],
    *,
    clip: float | Float[Tensor, ""],
    value_clip: float | Float[Tensor, ""] | None,
) -> PPOLoss:
    """The terms of the loss; the caller weights and adds them."""
    log_ratio = torch.where(valid, log_prob - old_log_prob, 0.0)
    ratio = log_ratio.exp()
    surrogate = torch.minimum(ratio * advantage, _within(ratio, 1.0, clip) * advantage)
    error = (value - target).square()
    if value_clip is not None:
        near = old_value + _within(value - old_value, 0.0, value_clip)
        error = torch.maximum(error, (near - target).square())
    drift = (ratio.detach() - 1).abs()
    return PPOLoss(
        policy=-masked_mean(surrogate, valid),
        value=0.5 * masked_mean(error, valid),
        entropy=masked_mean(entropy, valid),
        kl=masked_mean(ratio.detach() - 1 - log_ratio.detach(), valid),
        clipped=masked_mean((drift > clip).to(value.dtype), valid),
        ratio_error=drift.max(),
    )


def _within(x: Tensor, centre: float, width: float | Tensor) -> Tensor:
    """x, limited to ``centre`` ± ``width``."""
    return x.clamp(centre - width, centre + width)  # type: ignore[arg-type]
