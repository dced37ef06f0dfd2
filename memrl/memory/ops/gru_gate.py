"""A GRU cell that joins two streams (GTrXL), with its gradient by hand: few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def gru_gate(
    x: Float[Tensor, "*N D"],
    y: Float[Tensor, "*N D"],
    w: Float[Tensor, "3*D D"],
    u: Float[Tensor, "2*D D"],
    u_g: Float[Tensor, "D D"],
    bias: Float[Tensor, " D"],
) -> Float[Tensor, "*N D"]:
    """(1 − z) ∘ x + z ∘ ĥ, as ``GRUGate`` has it; ``w`` is of r, z, g and ``u`` of r, z."""
    return _GRUGate.apply(x, y, w, u, u_g, bias)  # type: ignore[no-any-return, no-untyped-call]


class _GRUGate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, w: Tensor, u: Tensor, u_g: Tensor, bias: Tensor
    ) -> Tensor:
        D, shape = x.shape[-1], x.shape
        x, y = x.reshape(-1, D), y.reshape(-1, D)
        gates = y @ w.t()
        both = gates[:, : 2 * D].addmm_(x, u.t())
        both[:, D:].sub_(bias)
        r, z = both.sigmoid_().chunk(2, dim=1)
        reset = r * x
        h = gates[:, 2 * D :].addmm_(reset, u_g.t()).tanh_()
        ctx.save_for_backward(x, y, gates, reset, w, u, u_g)
        return torch.lerp(x, h, z).view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, ...]:
        x, y, gates, reset, w, u, u_g = ctx.saved_tensors
        D, shape = x.shape[-1], d.shape
        d = d.reshape(-1, D)
        (r, z, h), dgates = gates.chunk(3, dim=1), torch.empty_like(gates)
        dr, dz, dh = dgates.chunk(3, dim=1)
        through = d * z
        torch.sub(h, x, out=dz).mul_(1 - z).mul_(through)  # d (ĥ − x) z (1 − z)
        torch.addcmul(through, h.square(), through, value=-1, out=dh)  # d z (1 − ĥ²)
        dreset = dh @ u_g
        dx = torch.addcmul(d - through, dreset, r)
        torch.sub(1, r, out=dr).mul_(reset).mul_(dreset)  # d_(r x) x r (1 − r)
        both = dgates[:, : 2 * D]
        dx.addmm_(both, u)
        return (
            dx.view(shape), (dgates @ w).view(shape),
            dgates.t() @ y, both.t() @ x, dh.t() @ reset, -dz.sum(dim=0),
        )  # fmt: skip
