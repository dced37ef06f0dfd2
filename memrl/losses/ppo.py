"""PPO's losses (Schulman et al. 2017) over the valid steps of a minibatch, on all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.distributed.collectives import mean_over_ranks, ranks, tensors_of_all_ranks


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
    return mean_counts([valid])[0]


def mean_counts(valid: Sequence[Tensor]) -> list[Tensor]:
    """`mean_count` of each; ranks, which have as many, exchange all of them at once."""
    counts = mean_over_ranks(torch.stack([each.sum(dtype=torch.float64) for each in valid]))
    return list(counts.clamp(min=1.0 / ranks()).unbind())


def masked_mean(
    x: Float[Tensor, "*N"], valid: Bool[Tensor, "*N"], count: Float[Tensor, ""] | None = None
) -> Float[Tensor, ""]:
    """This rank's part in the mean over valid entries: the mean over ranks is that of all of them.

    With one rank it is the mean, and 0 when no entry is valid. ``count`` is `mean_count` of
    ``valid``, which is computed if it is not given.
    """
    count = mean_count(valid) if count is None else count
    return torch.where(valid, x, 0.0).sum() / count.to(x.dtype)


class Moments(NamedTuple):
    """Of the valid advantages of a minibatch, on all ranks; float64 scalars."""

    steps: Tensor  # their number, as `mean_count`
    mean: Tensor
    spread: Tensor  # standard deviation; 1 of fewer than two

    def standardise(self, advantage: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """The advantages of that minibatch with a mean of 0 and a standard deviation of 1.

        Fewer than two are only centred.
        """
        mean, spread = (x.to(advantage.dtype) for x in (self.mean, self.spread))
        return (advantage - mean) / (spread + 1e-8)


def moments(minibatches: Sequence[tuple[Tensor, Tensor]]) -> list[Moments]:
    """The moments of each minibatch; ranks exchange their parts of all of them at once.

    Args:
        minibatches: advantages [*N] and which of them are valid; every rank has as many.
    """
    own = torch.stack([_own_moments(*each) for each in minibatches], dim=1)
    count, mean, squares = torch.stack(tensors_of_all_ranks(own), dim=1)  # each [ranks, K]
    total = count.sum(0)
    whole = (count * mean).sum(0) / total.clamp(min=1)
    squares = (squares + count * (mean - whole).square()).sum(0)  # Chan et al. 1979
    spread = torch.where(total > 1, (squares / (total - 1).clamp(min=1)).sqrt(), 1.0)
    counts = total.clamp(min=1) / ranks()
    return [Moments(*each) for each in zip(counts, whole, spread, strict=True)]


def _own_moments(x: Float[Tensor, "*N"], valid: Bool[Tensor, "*N"]) -> Float[Tensor, " 3"]:
    """This rank's number of valid entries, their mean and their squared deviations from it."""
    x, count = x.to(torch.float64), valid.sum(dtype=torch.float64)
    mean = torch.where(valid, x, 0.0).sum() / count.clamp(min=1)
    return torch.stack([count, mean, torch.where(valid, x - mean, 0.0).square().sum()])


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
