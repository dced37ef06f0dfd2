"""1.5-entmax: between softmax (α = 1) and sparsemax (α = 2), so some weights are exactly 0."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def entmax15(
    scores: Float[Tensor, "*B N"], over: Bool[Tensor, "*B N"] | None = None
) -> Float[Tensor, "*B N"]:
    """The weights p = [z/2 − τ]₊² of scores z, with the τ for which they sum to 1.

    It is entmax with α = 1.5 (Peters et al. 2019, Sparse Sequence-to-Sequence Models).

    Entries outside of ``over`` get 0, as all do where it is empty. Only first derivatives are
    supported.
    """
    if over is None:
        over = torch.ones_like(scores, dtype=torch.bool)
    return _Entmax15.apply(scores, over)  # type: ignore[no-any-return, no-untyped-call]


def threshold(x: Float[Tensor, "*B N"]) -> Float[Tensor, "*B 1"]:
    """τ of x = z/2, exactly: Algorithm 2 of the paper.

    If the ρ largest are the support, Σ (x_i − τ)² = 1 over them is a quadratic equation with the
    root τ_ρ = M − √((1 − S) / ρ), where M is their mean and S the sum of squared distances from it.
    The support is the largest ρ with τ_ρ ≤ x_(ρ).
    """
    ordered = x.sort(dim=-1, descending=True).values
    rho = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    mean = ordered.cumsum(dim=-1) / rho
    spread = ordered.square().cumsum(dim=-1) - rho * mean.square()  # S
    tau = mean - ((1 - spread) / rho).clamp(min=0).sqrt()
    size = (tau <= ordered).sum(dim=-1, keepdim=True)
    return tau.gather(-1, (size - 1).clamp(min=0))  # 0: NaN among them


class _Entmax15(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, over: Tensor) -> Tensor:
        # No weight exceeds 1, so τ ≥ max − 1: an entry of at most max − 1 is outside of the
        # support. Raised to there it changes nothing, and its square cannot overflow.
        masked = torch.where(over, scores / 2, -torch.inf)
        best = masked.amax(dim=-1, keepdim=True)
        x = torch.where(over, masked - best, -1).clamp(min=-1)
        root = torch.where(x <= -1, 0, (x - threshold(x)).clamp(min=0))
        ctx.save_for_backward(root)
        return root.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None]:
        """(diag(s) − s sᵀ / Σ s) d with s = √p: zero outside of the support."""
        (s,) = ctx.saved_tensors
        total = s.sum(dim=-1, keepdim=True)
        mean = (s * d).sum(dim=-1, keepdim=True) / total.where(total > 0, 1)
        return s * (d - mean), None
