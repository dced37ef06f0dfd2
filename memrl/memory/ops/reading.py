"""How scores decide what is read of the filled slots of a memory (Memory Networks, O).

One function for each rule; weights sum to 1, or are all 0 where no slot is filled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Look(NamedTuple):
    """What a rule looked at, and what it read there."""

    weights: Tensor  # [B, N]
    words: Tensor  # [B, W]  the sum of the memories, weighted


Rule: TypeAlias = Callable[[Tensor, Tensor, Tensor, int], Look]


def soft(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """By the softmax over all of them."""
    return _look(_softmax(scores, filled), memory)


def topk(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """By the softmax over the ``count`` best; of equal ones the lower goes first.

    No others learn.
    """
    return _look(_softmax(scores, filled & _best(scores, filled, count)), memory)


def hard(
    scores: Float[Tensor, "B N"],
    filled: Bool[Tensor, "B N"],
    memory: Float[Tensor, "B N W"],
    count: int,
) -> Look:
    """The best alone, o = m_argmax s; the gradient of o is that of ``soft`` (straight-through).

    In the memories, too: were it that of the best alone, one that is never the best would not learn
    what it is to say, and nothing would be gained by making it the best.
    """
    weights = (filled & _best(scores, filled, 1)).to(scores.dtype)
    chosen, learns = (
        _look(weights, memory.detach()).words,
        soft(scores, filled, memory, count).words,
    )
    return Look(weights, chosen + (learns - learns.detach()))


READ: dict[str, Rule] = {"soft": soft, "topk": topk, "hard": hard}


def _look(weights: Tensor, memory: Tensor) -> Look:
    return Look(weights, torch.bmm(weights.unsqueeze(1), memory).squeeze(1))


def _softmax(scores: Tensor, over: Tensor) -> Tensor:
    """The softmax over some slots, zero elsewhere."""
    # Not -∞: a row without a slot would be NaN, in values or in gradients.
    masked = torch.where(over, scores, torch.finfo(scores.dtype).min)
    return torch.where(over, masked.softmax(dim=-1), 0)


def _best(scores: Tensor, filled: Tensor, count: int) -> Tensor:
    """Which slots have the ``count`` highest scores, filled ones first: bool [B, N]."""
    masked = torch.where(filled, scores.detach(), -torch.inf)
    order = masked.sort(dim=-1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(filled).scatter(-1, order, torch.ones_like(order, dtype=torch.bool))
