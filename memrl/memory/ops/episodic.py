"""GRUs over the N facts before every step, which skip facts of other episodes (DMN+).

All steps run at once, each over its own window: the loop runs over the positions in a window, not
over time. Sequences lead with time, windows with N: fact n of step t is item t + n of a sequence.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def walk(
    gates: Float[Tensor, "S B G"],
    visible: Bool[Tensor, "N T B"],
    weight: Float[Tensor, "G D"],
    bias_n: Float[Tensor, " D"],
    *,
    back: bool = False,
) -> Float[Tensor, "N T B D"]:
    """Hidden states of a GRU over every window, oldest fact first or, ``back``, newest first.

    r, z = σ(gates + U h);  n = tanh(gates + r ∘ (U_n h + b_n));  h' = (1 − z) ∘ n + z ∘ h, where
    ``gates`` are the items' contribution to r, z and n, and ``weight`` is U. The first state is
    zero. A fact that is not visible leaves the state unchanged.
    """
    (size, length, rows), dim = visible.shape, weight.shape[1]
    from_rz, from_n = gates.flatten(0, 1).split_with_sizes([2 * dim, dim], 1)  # [S B, ·]
    to_rz, to_n = weight.t().split_with_sizes([2 * dim, dim], 1)
    masks = visible.flatten(1).unsqueeze(-1).unbind()
    h = gates.new_zeros(length * rows, dim)
    states = []
    for place in range(size - 1, -1, -1) if back else range(size):
        now = slice(place * rows, (place + length) * rows)  # the windows' facts at this place
        r, z = torch.addmm(from_rz[now], h, to_rz).sigmoid().chunk(2, dim=1)
        n = torch.addcmul(from_n[now], r, torch.addmm(bias_n, h, to_n)).tanh()
        h = torch.where(masks[place], torch.lerp(n, h, z), h)
        states.append(h)
    return torch.stack(states[::-1] if back else states).view(size, length, rows, dim)


def attention_walk(
    gates: Float[Tensor, "N T B G"],
    looks: Float[Tensor, "N T B"],
    weight: Float[Tensor, "G D"],
    bias_n: Float[Tensor, " D"],
) -> Float[Tensor, "T B D"]:
    """h_i = g_i h̃_i + (1 − g_i) h_{i−1} over all facts: attention in place of the update gate.

    r = σ(gates + U_r h);  h̃ = tanh(gates + r ∘ (U_n h + b_n)), where ``gates`` are the facts'
    contribution to r and n. The first state is zero; a fact with g = 0 changes nothing.
    """
    dim = weight.shape[1]
    to_r, to_n = weight.t().chunk(2, dim=1)
    from_r, from_n = (part.unbind() for part in gates.flatten(1, 2).chunk(2, dim=-1))
    h = gates.new_zeros(looks[0].numel(), dim)
    for r_x, n_x, g in zip(from_r, from_n, looks.flatten(1).unsqueeze(-1).unbind(), strict=True):
        r = torch.addmm(r_x, h, to_r).sigmoid()
        h = torch.lerp(h, torch.addcmul(n_x, r, torch.addmm(bias_n, h, to_n)).tanh(), g)
    return h.view(*looks.shape[1:], dim)
