"""Reads of a memory from scores of its filled slots (Memory Networks, O).

There is one function for each rule. Weights sum to 1, or are all 0 where no slot is filled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.memory.ops.entmax import entmax15


class Look(NamedTuple):
    """The read weights and the read."""

    weights: Tensor  # [B, N]
    words: Tensor  # [B, W]  the sum of the memories, weighted
    log_prob: Tensor | None = None  # [B]  of what was drawn


Rule: TypeAlias = Callable[[Tensor, Tensor, Tensor, int], Look]


def soft(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """The softmax over all filled slots."""
    return _look(_softmax(scores, filled), memory)


def entmax(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """The 1.5-entmax over all filled slots: how many have a weight is learned."""
    return _look(entmax15(scores, filled), memory)


def topk(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """The softmax over the ``count`` highest scores; of equal ones the lower slot comes first.

    Only these slots get a gradient.
    """
    return _look(_softmax(scores, filled & _best(scores, filled, count)), memory)


def hard(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """The highest score alone, o = m_argmax s, with the gradient of ``soft`` (straight-through).

    The memories get that gradient, too. Otherwise a memory that is never the best would not learn
    what to hold, and choosing it would gain nothing.
    """
    weights = (filled & _best(scores, filled, 1)).to(scores.dtype)
    chosen, learns = (
        _look(weights, memory.detach()).words,
        soft(scores, filled, memory, count).words,
    )
    return Look(weights, chosen + (learns - learns.detach()))


READ: dict[str, Rule] = {"soft": soft, "entmax": entmax, "topk": topk, "hard": hard}


def drawn(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    generator: torch.Generator | None,
) -> Look:
    """One memory, drawn from the softmax over filled slots; without a generator the likeliest.

    The scores have a gradient in ``log_prob`` alone (REINFORCE, Williams 1992); the caller
    multiplies it by the loss that followed. It is 0 where no slot is filled.
    """
    noise = torch.zeros_like(scores)
    if generator is not None:  # Gumbel: the largest sum is a draw from the softmax
        noise = -torch.empty_like(scores).exponential_(generator=generator).log()
    chosen = _best(scores + noise, filled, 1)
    masked = torch.where(filled, scores, torch.finfo(scores.dtype).min)
    log_prob = torch.where(chosen & filled, masked.log_softmax(dim=-1), 0).sum(dim=-1)
    weights = (chosen & filled).to(scores.dtype)
    return Look(weights, _look(weights, memory).words, log_prob)


def in_best_groups(
    scores: Float[Tensor, "B N"], filled: Bool[Tensor, "B N"], size: int, count: int
) -> Bool[Tensor, "B N"]:
    """The filled slots of the ``count`` best groups; ``size`` neighbouring slots are a group.

    A group scores the mean of its filled slots: the score of their mean, where a score is linear in
    the memory. Of equal groups the lower one comes first. The choice has no gradient.
    """
    there = filled.view(len(filled), -1, size)
    held = there.sum(dim=-1)
    total = torch.where(there, scores.view_as(there), 0).sum(dim=-1)
    best = _best(total / held.clamp(min=1), held > 0, count)
    return filled & best.repeat_interleave(size, dim=1)


def _look(weights: Tensor, memory: Tensor) -> Look:
    return Look(weights, torch.bmm(weights.unsqueeze(1), memory).squeeze(1))


def _softmax(scores: Tensor, over: Tensor) -> Tensor:
    """The softmax over some slots, zero elsewhere."""
    # Not -∞: a row without a slot would give NaN, in its value or its gradient.
    masked = torch.where(over, scores, torch.finfo(scores.dtype).min)
    return torch.where(over, masked.softmax(dim=-1), 0)


def _best(scores: Tensor, filled: Tensor, count: int) -> Tensor:
    """Which slots have the ``count`` highest scores, filled ones first: bool [B, N]."""
    masked = torch.where(filled, scores.detach(), -torch.inf)
    order = masked.sort(dim=-1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(filled).scatter(-1, order, torch.ones_like(order, dtype=torch.bool))
