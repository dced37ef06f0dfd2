"""Slots that belong to keys: when one is written, and how it stays on the sphere (EntNet)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm


def unit_rows(rows: Float[Tensor, "*B N D"], *, eps: float = 1e-8) -> Float[Tensor, "*B N D"]:
    """Rows of length 1, h / ‖h‖ (EntNet, eq. 5); one shorter than ``eps`` is divided by ``eps``.

    The gradient is that of the direction: what would only change a row's length is lost.
    """
    norms: Tensor = vector_norm(rows, dim=-1, keepdim=True)
    return rows / norms.clamp(min=eps)


def keyed_gates(
    seen: Float[Tensor, "B D"], slots: Float[Tensor, "B N D"], keyed: Float[Tensor, "B N"]
) -> Float[Tensor, "B N 1"]:
    """g_j = σ(sᵀ h_j + sᵀ w_j) (EntNet, eq. 2): a slot is written if s is like it or like its key.

    ``keyed`` is sᵀ w_j with whatever bias there is; it needs no state and is the caller's.
    """
    return torch.baddbmm(keyed.unsqueeze(-1), slots, seen.unsqueeze(-1)).sigmoid()
