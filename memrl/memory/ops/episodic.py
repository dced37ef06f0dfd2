"""Walks over the N facts before every step: GRUs that skip what is not of the episode (DMN+).

All steps walk at once, each over its own window: the loop is over places in a window, not over
time. Sequences lead with time here, places with N: fact n of step t is item t + n of a sequence.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def walk(
    gates: Float[Tensor, "S B G"],
    visible: Bool[Tensor, "N T B"],
    weight: Float[Tensor, "G D"],
    bias: Float[Tensor, " G"],
    *,
    back: bool = False,
) -> Float[Tensor, "N T B D"]:
    """Hidden states of a GRU over every window, oldest fact first or, ``back``, newest first.

    It begins from zeros and passes by what is not visible as if it were not there.
    """
    size, length, rows = visible.shape
    h = gates.new_zeros(length, rows, weight.shape[1])
    places = range(size - 1, -1, -1) if back else range(size)
    states, masks = [], visible.unsqueeze(-1).unbind()
    for n in places:
        h = torch.where(masks[n], _gru_cell(gates[n : n + length], h, weight, bias), h)
        states.append(h)
    return torch.stack(states[::-1] if back else states)


def attention_walk(
    gates: Float[Tensor, "N T B G"],
    looks: Float[Tensor, "N T B"],
    weight: Float[Tensor, "G D"],
    bias: Float[Tensor, " G"],
) -> Float[Tensor, "T B D"]:
    """h_i = g_i h̃_i + (1 − g_i) h_{i−1} over all facts: attention in place of the update gate.

    h̃ = tanh(n + r ∘ (U_n h + b_n)), r = σ(r + U_r h + b_r); ``gates`` is the facts' share of r
    and n. It begins from zeros; a fact with g = 0 changes nothing.
    """
    h = torch.zeros_like(gates[0, ..., : weight.shape[1]])
    for now, g in zip(gates.unbind(), looks.unsqueeze(-1).unbind(), strict=True):
        (r_x, n_x), (r_h, n_h) = now.chunk(2, dim=-1), F.linear(h, weight, bias).chunk(2, dim=-1)
        h = torch.lerp(h, torch.addcmul(n_x, (r_x + r_h).sigmoid(), n_h).tanh(), g)
    return h


def _gru_cell(gates: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A GRU in torch's form; ``gates`` is the input's share of r, z and n."""
    r_x, z_x, n_x = gates.chunk(3, dim=-1)
    r_h, z_h, n_h = F.linear(h, weight, bias).chunk(3, dim=-1)
    n = torch.addcmul(n_x, (r_x + r_h).sigmoid(), n_h).tanh()
    return torch.lerp(n, h, (z_x + z_h).sigmoid())  # (1 − z) n + z h
