"""Which slots were used least, and writing to them (LRUA)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

FIRST_USAGE = 1e-3  # all initial usages are below this


def first_usage(like: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """Usage before the first access: it increases slightly from slot to slot.

    So unused slots have an order that does not depend on rounding. The result has the shape, dtype
    and device of ``like``.
    """
    slots = like.shape[-1]
    order = torch.arange(slots, dtype=like.dtype, device=like.device)
    return (FIRST_USAGE / slots * order).repeat(like.shape[0], 1)


def decayed_usage(
    usage: Float[Tensor, "B N"],
    read_weights: Float[Tensor, "B R N"],
    write_weights: Float[Tensor, "B D N"],
    decay: float,
) -> Float[Tensor, "B N"]:
    """w^u_t = γ w^u_{t-1} + Σ w^r_t + Σ w^w_t (LRUA, eq. 5; sums over heads), without gradient.

    Usage serves only to rank the slots, and a ranking has no gradient.
    """
    accessed = read_weights.detach().sum(dim=1) + write_weights.detach().sum(dim=1)
    return decay * usage + accessed


def least_used(usage: Float[Tensor, "B N"], count: int) -> Float[Tensor, "B N"]:
    """w^lu: 1 in the ``count`` least used slots, 0 elsewhere (LRUA, eq. 6).

    Of equally used slots the lower one comes first.
    """
    order = usage.sort(dim=-1, stable=True).indices
    ones = torch.ones_like(usage[:, :count])
    return torch.zeros_like(usage).scatter(-1, order[:, :count], ones)


def least_used_write_weights(
    gates: Float[Tensor, "B R"], read_weights: Float[Tensor, "B R N"], least: Float[Tensor, "B N"]
) -> Float[Tensor, "B R N"]:
    """w^w_t = σ(α) w^r_{t-1} + (1 − σ(α)) w^lu_{t-1} (LRUA, eq. 7); ``gates`` are σ(α).

    A head writes to the slots that it read last or to the least used ones.
    """
    return torch.lerp(least.unsqueeze(1), read_weights, gates.unsqueeze(-1))
