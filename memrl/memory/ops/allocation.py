"""Which slots are in use, and which are free to be written (DNC, Methods: dynamic allocation)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-6  # usage floor inside the allocation; keeps the logarithm and its gradient finite


def update_usage(
    usage: Float[Tensor, "B N"],
    write_weights: Float[Tensor, "B N"],
    read_weights: Float[Tensor, "B R N"],
    free_gates: Float[Tensor, "B R"],
) -> Float[Tensor, "B N"]:
    """Usage u_t in [0, 1] from the weights of the *previous* step and the free gates of this one.

    u_t = (u + w − u ∘ w) ∘ ψ with the retention ψ = Π_r (1 − f_r w_r). No gradient flows to the
    write weights (as in the authors' code). Reading a slot with an open free gate frees it.
    """
    write_weights = write_weights.detach()
    usage = torch.addcmul(write_weights, usage, 1 - write_weights)
    return usage * retention(read_weights, free_gates)


def retention(
    read_weights: Float[Tensor, "B R N"], free_gates: Float[Tensor, "B R"]
) -> Float[Tensor, "B N"]:
    """The share of each slot that the last reads do not free, ψ = Π_r (1 − f_r w_r)."""
    # One factor a head, because the backward pass of prod() synchronises with the host.
    first, *others = (1 - free_gates.unsqueeze(-1) * read_weights).unbind(dim=1)
    for head in others:
        first = first * head
    return first


def allocation_weights(usage: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """Weights of free slots: a[φ_j] = (1 − u[φ_j]) Π_{i<j} u[φ_i], φ sorting by ascending usage.

    They sum to 1 − Π u. Of equally used slots the lower one comes first. As in the paper, the
    gradient ignores that the order depends on usage.
    """
    used, order = (EPSILON + (1 - EPSILON) * usage).sort(dim=-1, stable=True)
    # Shifted, not subtracted: subtracting log u from its own sum leaves rounding errors over u.
    product = F.pad(used.log()[:, :-1], (1, 0)).cumsum(dim=-1).exp()
    free = (1 - used) * product
    return torch.zeros_like(free).scatter(-1, order, free)
