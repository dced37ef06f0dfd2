"""Attention between memory slots (RMC)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def attend(
    queries: Float[Tensor, "B Q F"],
    keys: Float[Tensor, "B K F"],
    values: Float[Tensor, "B K F"],
    heads: int,
) -> Float[Tensor, "B Q F"]:
    """Multi-head dot-product attention: softmax(Q Kᵀ / √d) V in each head (RMC, eq. 1–2).

    Features are split into ``heads`` neighbouring parts of width d, and concatenated in this order.
    The caller projects and normalises.
    """

    def split(rows: Tensor) -> Tensor:
        return rows.view(*rows.shape[:-1], heads, width).transpose(1, 2)  # [B, heads, rows, d]

    width = queries.shape[-1] // heads  # d
    scale = width**-0.5
    weights = torch.matmul(scale * split(queries), split(keys).mT).softmax(dim=-1)
    return torch.matmul(weights, split(values)).transpose(1, 2).flatten(2)
