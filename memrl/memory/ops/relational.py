"""Attention between memory slots (RMC).

There are few slots and narrow heads: a batched product for each pair of a row and a head takes ten
times as long as elementwise operations over all of them. These lead with the slots, so that sums
and softmaxes over keys run along whole vectors.
"""

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
    q, k, v = (rows.transpose(0, 1).contiguous() for rows in (queries, keys, values))
    scale = (q.shape[-1] // heads) ** -0.5  # 1 / √d
    return read(look(q * scale, k, heads), v).transpose(0, 1)


def look(
    queries: Float[Tensor, "Q B F"], keys: Float[Tensor, "K B F"], heads: int
) -> Float[Tensor, "K Q B heads"]:
    """Every head's weights: softmax(Q Kᵀ) over the keys."""
    pairs = keys.unsqueeze(1) * queries
    return pairs.view(*pairs.shape[:-1], heads, -1).sum(dim=-1).softmax(dim=0)


def look_reverse(
    d: Float[Tensor, "K Q B heads"],
    weights: Float[Tensor, "K Q B heads"],
    queries: Float[Tensor, "Q B F"],
    keys: Float[Tensor, "K B F"],
) -> tuple[Float[Tensor, "Q B F"], Float[Tensor, "K B F"]]:
    """From the gradient of the weights to those of queries and keys."""
    width = queries.shape[-1] // weights.shape[-1]
    dlogits = torch.ops.aten._softmax_backward_data(d, weights, 0, weights.dtype)
    spread = dlogits.repeat_interleave(width, dim=-1)  # [K, Q, B, F]
    dqueries = (spread * keys.unsqueeze(1)).sum(dim=0)
    return dqueries, spread.mul_(queries).sum(dim=1)


def read(
    weights: Float[Tensor, "K Q B heads"], values: Float[Tensor, "K B F"]
) -> Float[Tensor, "Q B F"]:
    """Σ w(j) v(j) in each head."""
    width = values.shape[-1] // weights.shape[-1]
    return (weights.repeat_interleave(width, dim=-1) * values.unsqueeze(1)).sum(dim=0)


def read_reverse(
    d: Float[Tensor, "Q B F"],
    weights: Float[Tensor, "K Q B heads"],
    values: Float[Tensor, "K B F"],
) -> tuple[Float[Tensor, "K Q B heads"], Float[Tensor, "K B F"]]:
    """From the gradient of what was read to those of weights and values."""
    heads = weights.shape[-1]
    width = values.shape[-1] // heads
    pairs = values.unsqueeze(1) * d
    dweights = pairs.view(*weights.shape, width).sum(dim=-1)
    return dweights, weights.repeat_interleave(width, dim=-1).mul_(d).sum(dim=1)
