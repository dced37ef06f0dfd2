"""Linear recurrences with constant complex rates, whose parts are real tensors."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.memory.ops.scan import linear_scan


def rotating_scan(
    rates: Float[Tensor, "2 N"],
    drive: Float[Tensor, "T B D"],
    first: Float[Tensor, "B 2 N"],
    start: Bool[Tensor, "T B"],
) -> Float[Tensor, "T B 2 N"]:
    """All h_t = λ ∘ h_{t-1} + x_t; a row with ``start[t]`` begins step t from zeros.

    Of λ, h and ``first`` the real parts come first. So they do in a ``drive`` of D = 2N. Where D
    divides N, x is real, and each of its entries drives N / D neighbours. Only first derivatives
    are supported.
    """
    N, D = rates.shape[1], drive.shape[2]
    if D == 2 * N:
        real, imag = drive.chunk(2, dim=-1)
    else:
        real = drive.repeat_interleave(N // D, dim=-1)
        imag = torch.zeros_like(real)
    x = torch.complex(real, imag)
    h = linear_scan(torch.complex(*rates).expand_as(x), x, torch.complex(*first.unbind(1)), start)
    return torch.stack([h.real, h.imag], dim=-2)
