"""Returns of the next n steps, cut where an episode ends."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Ahead(NamedTuple):
    """What the n steps from each on brought."""

    returns: Tensor  # [T, B]  Σ_j γ^j r_{t+j} over those of them that belong to the episode
    goes_on: Tensor  # bool [T, B]  the episode did not end in them
    known: Tensor  # bool [T, B]  it ended in them, or all n are there


def look_ahead(
    reward: Float[Tensor, "T B"], ended: Bool[Tensor, "T B"], n: int, *, gamma: float
) -> Ahead:
    """Discounted sums of n rewards, the step's own included; nothing flows over an episode's end.

    Windows of 1, 2, 4, … steps are added up, as n in binary says: log₂ n passes over the whole
    sequence. What comes after the n steps, γⁿ max Q or nothing, is the caller's, who adds to the
    reward of a step that was cut off γ times the value of what it led to.
    """
    steps = len(reward)
    sums, total = reward, torch.zeros_like(reward)
    over, end = ended, torch.zeros_like(ended)  # whether the episode ended in the window
    width, taken = 1, 0  # of ``sums``; of ``total``
    while taken < n:
        if n & width:
            behind = gamma**taken * _later(sums, taken)
            total = total + torch.where(end, 0.0, behind)
            end = end | _later(over, taken)
            taken += width
        sums = sums + torch.where(over, 0.0, gamma**width * _later(sums, width))
        over, width = over | _later(over, width), 2 * width
    there = torch.arange(steps, device=reward.device).unsqueeze(1) + n <= steps
    return Ahead(total, ~end, end | there)


def _later(rows: Tensor, by: int) -> Tensor:
    """Row t + ``by`` in the place of row t; zeros or False where there is none."""
    shifted = torch.zeros_like(rows)
    if by < len(rows):
        shifted[: len(rows) - by] = rows[by:]
    return shifted
