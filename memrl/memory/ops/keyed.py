"""Slots with keys: the gates that write them, and their normalisation (EntNet)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm

EPS = 1e-8  # least length that a row is divided by


def unit_rows(rows: Float[Tensor, "*B N D"], *, eps: float = EPS) -> Float[Tensor, "*B N D"]:
    """Rows of length 1, h / ‖h‖ (EntNet, eq. 5); rows shorter than ``eps`` are divided by ``eps``.

    Only the direction of a row gets a gradient.
    """
    norms: Tensor = vector_norm(rows, dim=-1, keepdim=True)
    return rows / norms.clamp(min=eps)


def keyed_gates(
    seen: Float[Tensor, "B D"], slots: Float[Tensor, "B N D"], keyed: Float[Tensor, "B N"]
) -> Float[Tensor, "B N 1"]:
    """g_j = σ(sᵀ h_j + sᵀ w_j) (EntNet, eq. 2): s is written to slots that resemble it or by key.

    ``keyed`` is sᵀ w_j plus a bias; the caller computes it, since it needs no state.
    """
    return torch.baddbmm(keyed.unsqueeze(-1), slots, seen.unsqueeze(-1)).sigmoid()
