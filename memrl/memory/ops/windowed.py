"""Transformer-XL's attention of a whole sequence, with its gradient by hand.

A query sees W of the S = W + T − 1 keys. Only the products are of all S: mask, position and softmax
are of the W alone. The band of a [T, S] matrix, columns t to t + W − 1 of each row t, is a view.
Heads take turns, so that one pair of [B, T, S] matrices serves all, and the heads of queries, keys
and values are strided views, not copies.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def windowed(
    by_content: Float[Tensor, "B T HK"],
    by_position: Float[Tensor, "B T HK"],
    keys: Float[Tensor, "B S HK"],
    values: Float[Tensor, "B S HK"],
    positions: Float[Tensor, "W HK"],
    visible: Bool[Tensor, "B T S"],
    heads: int,
) -> Float[Tensor, "B T HK"]:
    """softmax_j(a_i·k_j + b_i·r_{i−j}) v_j in each head.

    Args:
        by_content: a, the scaled queries for keys.
        by_position: b, the scaled queries for positions.
        keys: k.
        values: v.
        positions: r, farthest first.
        visible: of ``ops.attention.window``; what lies outside of the band is not seen.
        heads: neighbouring parts of the features.
    """
    hidden = ~band(visible, len(positions))
    return _Windowed.apply(by_content, by_position, keys, values, positions, hidden, heads)  # type: ignore[no-any-return, no-untyped-call]


def band(matrix: Tensor, width: int) -> Tensor:
    """Columns t to t + W − 1 of every row t of a contiguous [B, T, S], as a view [B, T, W]."""
    B, T, S = matrix.shape
    matrix = matrix.contiguous()
    return matrix.as_strided((B, T, width), (T * S, S + 1, 1))


class _Windowed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, k: Tensor, v: Tensor, r: Tensor, hidden: Tensor, heads: int
    ) -> Tensor:
        B, T, W = hidden.shape
        pairs, spread = a.new_empty(B, T, W + T - 1), a.new_zeros(B, T, W + T - 1)
        out, weights = torch.empty_like(a), a.new_empty(heads, B, T, W)
        parts = zip(*(_heads(each, heads) for each in (a, b, k, v, r, out)), strict=True)
        for w, (a_h, b_h, k_h, v_h, r_h, out_h) in zip(weights, parts, strict=True):
            torch.bmm(a_h, k_h.mT, out=pairs)
            logits = torch.matmul(b_h, r_h.t()).add_(band(pairs, W))
            torch.softmax(logits.masked_fill_(hidden, -torch.inf), dim=-1, out=w)
            band(spread, W).copy_(w)
            out_h.copy_(torch.bmm(spread, v_h))
        ctx.save_for_backward(a, b, k, v, r, weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, weights = ctx.saved_tensors
        heads, B, T, W = weights.shape
        pairs, spread = d.new_empty(B, T, W + T - 1), d.new_zeros(B, T, W + T - 1)
        grads = [torch.empty_like(each) for each in inputs]
        parts = zip(*(_heads(each, heads) for each in (d, *inputs, *grads)), strict=True)
        for w, (d_h, a, b, k, v, r, da, db, dk, dv, dr) in zip(weights, parts, strict=True):
            band(spread, W).copy_(w)
            dv.copy_(torch.bmm(spread.mT, d_h))
            torch.bmm(d_h, v.mT, out=pairs)
            dlogits = torch.ops.aten._softmax_backward_data(band(pairs, W), w, -1, w.dtype)
            db.copy_(torch.matmul(dlogits, r))
            dr.copy_(torch.mm(dlogits.view(-1, W).t(), b.reshape(B * T, -1)))
            band(spread, W).copy_(dlogits)
            da.copy_(torch.bmm(spread, k))
            dk.copy_(torch.bmm(spread.mT, a))
        return *grads, None, None


def _heads(x: Tensor, heads: int) -> tuple[Tensor, ...]:
    return x.chunk(heads, dim=-1)
