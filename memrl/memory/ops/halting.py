"""Adaptive computation time (Graves 2016): after how many steps of thought to stop, softly.

Step n halts with h_n ∈ (0, 1). The first N steps take place, N = min {n: Σ_{i≤n} h_i ≥ 1 − ε}, but
no more than the caller allows; they weigh p_n = h_n, and the last p_N = R = 1 − Σ_{i<N} h_i, so
that Σ p_n = 1. Thinking costs ρ = N + R, of which only R has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 0.01  # ε: without it even h_1 near 1 would ask for a second step


class Thought(NamedTuple):
    """What has been thought so far."""

    spent: Tensor  # [*B]  Σ h_i of the steps that took place
    ponder: Tensor  # [*B]  those steps, and R once the last is among them


def first_thought(like: Float[Tensor, "*B D"]) -> Thought:
    """Before the first step, for vectors such as these."""
    zeros = like.new_zeros(like.shape[:-1])
    return Thought(zeros, zeros)


def goes_on(thought: Thought) -> Bool[Tensor, "*B"]:
    """Does the next step take place?"""
    return thought.spent < 1 - EPSILON


def halt(
    h: Float[Tensor, "*B"], thought: Thought, *, last: bool
) -> tuple[Float[Tensor, "*B"], Thought]:
    """The weight p_n of a step that halts with ``h``, zero if it does not take place.

    ``last`` says that no further step is allowed.
    """
    runs, spent = goes_on(thought), thought.spent
    rest = 1 - spent  # R, if this step is the last
    ends = runs if last else runs & (spent + h >= 1 - EPSILON)
    weight = torch.where(ends, rest, torch.where(runs, h, 0))
    ponder = thought.ponder + runs.to(h.dtype) + torch.where(ends, rest, 0)
    return weight, Thought(spent + torch.where(runs, h, 0), ponder)
