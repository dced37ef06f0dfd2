"""Q-learning targets over sequences that contain several episodes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Targets(NamedTuple):
    """Targets of the action values, for the first T of T + n steps."""

    value: Tensor  # [T, B]
    known: Tensor  # bool [T, B]  False: the step has no target


def rescale(x: Float[Tensor, "*N"], epsilon: float) -> Float[Tensor, "*N"]:
    """h(x) = sign(x)(√(|x| + 1) − 1) + εx, which compresses large values (Pohlen 2018, prop. A.2).

    ε = 0 means the identity.
    """
    if not epsilon:
        return x
    return x.sign() * ((x.abs() + 1).sqrt() - 1) + epsilon * x


def unscale(x: Float[Tensor, "*N"], epsilon: float) -> Float[Tensor, "*N"]:
    """The inverse of ``rescale``."""
    if not epsilon:
        return x
    root = (1 + 4 * epsilon * (x.abs() + 1 + epsilon)).sqrt()
    return x.sign() * (((root - 1) / (2 * epsilon)).square() - 1)


def n_step_targets(
    reward: Float[Tensor, "S B"],
    value: Float[Tensor, "S B"],
    terminated: Bool[Tensor, "S B"],
    start: Bool[Tensor, "S B"],
    *,
    gamma: float,
    n: int,
) -> Targets:
    """n-step returns for the first T = S − n steps, never across the end of an episode.

    ``value`` belongs to the observation *before* each step; ``start`` marks observations that open
    an episode. A terminated step has no value after it. If an episode was truncated at step c
    (``start[c + 1]`` without termination, or the run was resumed), the observation after c is not
    in the sequence. Then earlier steps t bootstrap at c, with γ^(c − t) value[c], and c itself has
    no target.
    """
    T = len(reward) - n
    opens = torch.cat([start[1:], torch.zeros_like(start[:1])])  # the observation after each step
    cut = opens & ~terminated
    total = torch.zeros_like(value[:T])
    goes_on = torch.ones_like(terminated[:T])  # the return from t still accumulates
    for i in range(n):
        now = slice(i, i + T)
        total = total + torch.where(goes_on & cut[now], gamma**i * value[now], 0.0)
        goes_on = goes_on & ~cut[now]
        total = total + torch.where(goes_on, gamma**i * reward[now], 0.0)
        goes_on = goes_on & ~terminated[now]
    total = total + torch.where(goes_on, gamma**n * value[n:], 0.0)
    return Targets(total, ~cut[:T])


def sequence_priority(
    error: Float[Tensor, "T B"], valid: Bool[Tensor, "T B"], *, eta: float
) -> Float[Tensor, " B"]:
    """η max|δ| + (1 − η) mean|δ| over the valid steps (Kapturowski et al. 2019, section 2.3).

    A sequence without any valid step has priority 0.
    """
    size = torch.where(valid, error.abs(), 0.0)
    mean = size.sum(0) / valid.sum(0).clamp(min=1)
    return eta * size.amax(0) + (1 - eta) * mean
