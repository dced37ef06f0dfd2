"""The element-wise part of an LSTM, for memories with an LSTM controller."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def lstm_cell(
    gates: Float[Tensor, "B G"], cell: Float[Tensor, "B H"]
) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B H"]]:
    """Hidden and cell state after one step; the caller computes the matrix products.

    ``gates`` holds the pre-activations [i, f, o, g] side by side, G = 4H. The three sigmoid gates
    are neighbours, so that one operation computes them.
    """
    width = cell.shape[-1]
    squashed, candidate = torch.split(gates, [3 * width, width], dim=-1)
    i, f, o = squashed.sigmoid().chunk(3, dim=-1)
    cell = torch.addcmul(f * cell, i, candidate.tanh())
    return o * cell.tanh(), cell
