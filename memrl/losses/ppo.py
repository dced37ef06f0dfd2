"""PPO's losses (Schulman et al. 2017) over the valid steps of a minibatch, on all ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.distributed.collectives import mean_over_ranks, ranks, sum_over_ranks


class PPOLoss(NamedTuple):
    """Scalars over the valid steps of a minibatch."""

    policy: Tensor  # clipped surrogate, eq. 7, negated
    value: Tensor  # half the mean squared error
    entropy: Tensor  # nats
    kl: Tensor  # E[(r - 1) - log r], an estimate of KL(old || new) in nats
    clipped: Tensor  # share of steps whose ratio left [1 - clip, 1 + clip]
    ratio_error: Tensor  # max |r - 1|: rounding on the first minibatch of an iteration


def mean_count(valid: Bool[Tensor, "*N"]) -> Float[Tensor, ""]:
    """The number of valid entries, the mean over ranks; at least one on all ranks together."""
    count = mean_over_ranks(valid.sum(dtype=torch.float64))
    return count.clamp(min=1.0 / ranks())


def masked_mean(
    x: Float[Tensor, "*N"], valid: Bool[Tensor, "*N"], count: Float[Tensor, ""] | None = None
) -> Float[Tensor, ""]:
    """This rank's part in the mean over valid entries: the mean over ranks is that of all of them.

    With one rank it is the mean, and 0 when no entry is valid. ``count`` is `mean_count` of
    ``valid``, which is computed if it is not given.
    """
    count = mean_count(valid) if count is None else count
    return torch.where(valid, x, 0.0).sum() / count.to(x.dtype)


def normalise(
    advantage: Float[Tensor, "*N"],
    valid: Bool[Tensor, "*N"],
    count: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "*N"]:
    """Standardise over the valid steps of all ranks; fewer than two are only centred.

    ``count`` is as for `masked_mean`.
    """
    count = mean_count(valid) if count is None else count
    centred = advantage - mean_over_ranks(masked_mean(advantage, valid, count))
    total = (count * ranks()).to(advantage.dtype)
    squares = sum_over_ranks(torch.where(valid, centred.square(), 0.0).sum())
    spread = (squares / (total - 1).clamp(min=1)).sqrt()
    return torch.where(total > 1, centred / (spread + 1e-8), centred)


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
    count: Float[Tensor, ""] | None = None,
) -> PPOLoss:
    """The terms of the loss; the caller weights and adds them.

    They are this rank's parts in the means over ``valid``, as those of `masked_mean`.
    """
    count = mean_count(valid) if count is None else count
    log_ratio = torch.where(valid, log_prob - old_log_prob, 0.0)
    ratio = log_ratio.exp()
    surrogate = torch.minimum(ratio * advantage, _within(ratio, 1.0, clip) * advantage)
    error = (value - target).square()
    if value_clip is not None:
        near = old_value + _within(value - old_value, 0.0, value_clip)
        error = torch.maximum(error, (near - target).square())
    drift = (ratio.detach() - 1).abs()
    return PPOLoss(
        policy=-masked_mean(surrogate, valid, count),
        value=0.5 * masked_mean(error, valid, count),
        entropy=masked_mean(entropy, valid, count),
        kl=masked_mean(ratio.detach() - 1 - log_ratio.detach(), valid, count),
        clipped=masked_mean((drift > clip).to(value.dtype), valid, count),
        ratio_error=drift.max(),
    )


def _within(x: Tensor, centre: float, width: float | Tensor) -> Tensor:
    """x, limited to ``centre`` ± ``width``."""
    return x.clamp(centre - width, centre + width)  # type: ignore[arg-type]
