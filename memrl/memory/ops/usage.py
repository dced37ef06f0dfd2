"""Which slots were accessed least, and writing there (LRUA)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

FIRST_USAGE = 1e-3  # below this every slot at the start


def first_usage(like: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """Usage before anything was accessed: it rises by a hair from slot to slot.

    So slots that nothing tells apart yet have an order that does not hang on rounding. ``like``
    lends shape, type and device.
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

    Only the order of usage is ever looked at, so that there is no gradient to lose.
    """
    accessed = read_weights.detach().sum(dim=1) + write_weights.detach().sum(dim=1)
    return decay * usage + accessed


def least_used(usage: Float[Tensor, "B N"], count: int) -> Float[Tensor, "B N"]:
    """w^lu: 1 in the ``count`` slots that were used least, 0 elsewhere (LRUA, eq. 6).

    Exactly ``count`` slots: of equally used ones the lower goes first.
    """
    order = usage.sort(dim=-1, stable=True).indices
    ones = torch.ones_like(usage[:, :count])
    return torch.zeros_like(usage).scatter(-1, order[:, :count], ones)


def least_used_write_weights(
    gates: Float[Tensor, "B R"], read_weights: Float[Tensor, "B R N"], least: Float[Tensor, "B N"]
) -> Float[Tensor, "B R N"]:
    """w^w_t = σ(α) w^r_{t-1} + (1 − σ(α)) w^lu_{t-1} (LRUA, eq. 7); ``gates`` are σ(α).

    Either what was read last is written again, or what was used least is written anew.
    """
    return torch.lerp(least.unsqueeze(1), read_weights, gates.unsqueeze(-1))
