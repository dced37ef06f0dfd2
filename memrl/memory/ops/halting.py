"""Adaptive computation time (Graves 2016): how many ponder steps to take.

Ponder step n has the halting probability h_n ∈ (0, 1). The first N steps run,
N = min {n: Σ_{i≤n} h_i ≥ 1 − ε}, but no more than the caller allows. Their weights are p_n = h_n,
and p_N = R = 1 − Σ_{i<N} h_i for the last, so that Σ p_n = 1. The ponder cost is ρ = N + R; only R
has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 0.01  # ε: without it, even h_1 near 1 would need a second step


class Thought(NamedTuple):
    """The ponder steps so far."""

    spent: Tensor  # [*B]  Σ h_i of the steps that ran
    ponder: Tensor  # [*B]  the number of these steps, plus R once the last has run


def first_thought(like: Float[Tensor, "*B D"]) -> Thought:
    """Before the first ponder step, for vectors shaped like ``like``."""
    zeros = like.new_zeros(like.shape[:-1])
    return Thought(zeros, zeros)


def goes_on(thought: Thought) -> Bool[Tensor, "*B"]:
    """Whether the next ponder step runs."""
    return thought.spent < 1 - EPSILON


def halt(
    h: Float[Tensor, "*B"], thought: Thought, *, last: bool
) -> tuple[Float[Tensor, "*B"], Thought]:
    """The weight p_n of a step with halting probability ``h``; zero if it does not run.

    ``last`` marks the last step that is allowed.
    """
    runs, spent = goes_on(thought), thought.spent
    rest = 1 - spent  # R, if this step is the last
    ends = runs if last else runs & (spent + h >= 1 - EPSILON)
    weight = torch.where(ends, rest, torch.where(runs, h, 0))
    ponder = thought.ponder + runs.to(h.dtype) + torch.where(ends, rest, 0)
    return weight, Thought(spent + torch.where(runs, h, 0), ponder)
