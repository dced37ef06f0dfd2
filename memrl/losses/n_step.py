"""n-step returns within an episode."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class NStepReturns(NamedTuple):
    """The n steps from each step on."""

    returns: Tensor  # [T, B]  Σ_j γ^j r_{t+j} over those steps that belong to the episode
    goes_on: Tensor  # bool [T, B]  the episode does not end in these steps


def n_step_returns(
    reward: Float[Tensor, "T B"], ended: Bool[Tensor, "T B"], n: int, *, gamma: float
) -> NStepReturns:
    """Discounted sums of n rewards, the step's own included, within an episode.

    Near the end of the rollout the sums have fewer terms.

    It takes log₂ n passes: it adds windows of 1, 2, 4, … steps by the binary digits of n. The
    caller adds the bootstrap value γⁿ max Q after the n steps. For a truncated step, the caller
    adds γ V(final observation) to its reward beforehand.
    """
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
    return NStepReturns(total, ~end)


def _later(rows: Tensor, by: int) -> Tensor:
    """Shift rows by ``by``: row t becomes row t + ``by``, or zeros (False) beyond the end."""
    shifted = torch.zeros_like(rows)
    if by < len(rows):
        shifted[: len(rows) - by] = rows[by:]
    return shifted
