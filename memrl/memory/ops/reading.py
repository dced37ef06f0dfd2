"""How scores become weights over the filled slots of a memory (Memory Networks, O).

One function for each rule; weights sum to 1, or are all 0 where no slot is filled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Rule: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]


def soft(
    scores: Float[Tensor, "B N"], filled: Bool[Tensor, "B N"], count: int
) -> Float[Tensor, "B N"]:
    """Softmax over all of them."""
    # Not -∞: a row without a filled slot would be NaN, in values or in gradients.
    masked = torch.where(filled, scores, torch.finfo(scores.dtype).min)
    return torch.where(filled, masked.softmax(dim=-1), 0)


def topk(
    scores: Float[Tensor, "B N"], filled: Bool[Tensor, "B N"], count: int
) -> Float[Tensor, "B N"]:
    """Softmax over the ``count`` best; of equal ones the lower goes first. No others learn."""
    masked = torch.where(filled, scores.detach(), -torch.inf)
    order = masked.sort(dim=-1, descending=True, stable=True).indices[:, :count]
    best = torch.zeros_like(filled).scatter(-1, order, torch.ones_like(order, dtype=torch.bool))
    return soft(scores, filled & best, count)


def hard(
    scores: Float[Tensor, "B N"], filled: Bool[Tensor, "B N"], count: int
) -> Float[Tensor, "B N"]:
    """The best alone, o = argmax s; the gradient is that of ``soft`` (straight-through)."""
    weights = soft(scores, filled, count)
    chosen = topk(scores, filled, 1).detach()
    return chosen + (weights - weights.detach())


READ: dict[str, Rule] = {"soft": soft, "topk": topk, "hard": hard}
