"""Kernel-weighted reads of the nearest among the N items before every step (NEC)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memrl.memory.ops.window import compare


def distances(
    queries: Float[Tensor, "B T K"], keys: Float[Tensor, "B S K"]
) -> Float[Tensor, "B T N"]:
    """Squared distances of every query from the N = S − T + 1 keys before it, without gradient.

    Computed as |q|² − 2 q·k + |k|². Its rounding error allows comparing distances, not dividing by
    them.
    """
    queries, keys = queries.detach(), keys.detach()
    squares = keys.square().sum(dim=-1).unfold(1, keys.shape[1] - queries.shape[1] + 1, 1)
    own = queries.square().sum(dim=-1, keepdim=True)
    return own - 2 * compare(queries, keys) + squares


def pick(items: Float[Tensor, "B S D"], index: Int[Tensor, "B T P"]) -> Float[Tensor, "B T P D"]:
    """The items at P positions in the window of every step: position n of step t is item t + n."""
    rows, size, width = items.shape
    step = torch.arange(index.shape[1], device=index.device).unsqueeze(-1)  # [T, 1]
    row = torch.arange(rows, device=index.device).view(-1, 1, 1)
    place = (row * size + step + index).flatten()
    return items.reshape(-1, width).index_select(0, place).view(*index.shape, width)


def kernel_weights(
    queries: Float[Tensor, "B T K"],
    keys: Float[Tensor, "B T P K"],
    found: Bool[Tensor, "B T P"],
    delta: float,
) -> Float[Tensor, "B T P"]:
    """w_i = k(h, h_i) / Σ_j k(h, h_j), k(h, h') = 1 / (‖h − h'‖² + δ) (NEC); else zeros.

    The squared distance is computed from differences. It is never negative, and a query that equals
    its key has a kernel of exactly 1/δ.
    """
    squared = (queries.unsqueeze(2) - keys).square().sum(dim=-1)  # [B, T, P]
    kernels = torch.where(found, 1 / (squared + delta), 0)
    total = kernels.sum(dim=-1, keepdim=True)
    return kernels / torch.where(found.any(dim=-1, keepdim=True), total, 1)
