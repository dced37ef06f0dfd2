"""A linear recurrence whose input selects what it keeps, with a matrix for a state."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.memory.ops.scan import linear_scan


def selective_scan(
    delta: Float[Tensor, "T B E"],
    u: Float[Tensor, "T B E"],
    B: Float[Tensor, "T B N"],
    C: Float[Tensor, "T B N"],
    A: Float[Tensor, "E N"],
    first: Float[Tensor, " B E N"],
    start: Bool[Tensor, "T B"],
) -> tuple[Float[Tensor, "T B E"], Float[Tensor, " B E N"]]:
    """All reads h_t C_t of h_t = e^(Δ_t A) ∘ h_{t-1} + Δ_t u_t B_tᵀ (Mamba, algorithm 2).

    Also returns the last h. A row with ``start[t]`` begins step t from zeros. Only first
    derivatives are supported.
    """
    keep = (delta.unsqueeze(-1) * A).exp()
    add = (delta * u).unsqueeze(-1) * B.unsqueeze(-2)
    h = linear_scan(keep, add, first, start)
    return torch.matmul(h, C.unsqueeze(-1)).squeeze(-1), h[-1]
