"""Rows of a batch, taken from one tensor or another."""

from __future__ import annotations

import torch
from torch import Tensor


def where_rows(rows: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """``one`` in the rows that are true, else ``other``: bool [B], and both [B, ...]."""
    return torch.where(rows.view(-1, *[1] * (other.dim() - 1)), one, other)
