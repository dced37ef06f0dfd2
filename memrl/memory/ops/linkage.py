"""Temporal links, the order in which slots were written, and following them (DNC, Methods)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def update_link(
    link: Float[Tensor, "B N N"],
    precedence: Float[Tensor, "B N"],
    write_weights: Float[Tensor, "B N"],
) -> Float[Tensor, "B N N"]:
    """Link matrix L_t; L(i, j) is the degree to which slot i was written right *after* slot j.

    L(i, j) = (1 − w(i) − w(j)) L(i, j) + w(i) p(j) and L(i, i) = 0, with the precedence p of the
    *previous* step.
    """
    after, before = write_weights.unsqueeze(-1), write_weights.unsqueeze(-2)
    kept = link * (1 - after - before)
    return torch.baddbmm(kept, after, precedence.unsqueeze(-2)) * _off_diagonal(link)


def update_precedence(
    precedence: Float[Tensor, "B N"], write_weights: Float[Tensor, "B N"]
) -> Float[Tensor, "B N"]:
    """Precedence p_t: the degree to which each slot was the last one written; sums to at most 1."""
    untouched = 1 - write_weights.sum(dim=-1, keepdim=True)
    return torch.addcmul(write_weights, untouched, precedence)


def forward_weights(
    link: Float[Tensor, "B N N"], weights: Float[Tensor, "B R N"]
) -> Float[Tensor, "B R N"]:
    """Slots written right after those in ``weights``: f = L w."""
    return torch.bmm(weights, link.mT)


def backward_weights(
    link: Float[Tensor, "B N N"], weights: Float[Tensor, "B R N"]
) -> Float[Tensor, "B R N"]:
    """Slots written right before those in ``weights``: b = Lᵀ w."""
    return torch.bmm(weights, link)


def _off_diagonal(link: Tensor) -> Tensor:
    return 1 - torch.eye(link.shape[-1], dtype=link.dtype, device=link.device)
