"""Linear recurrences h_t = a_t ∘ h_{t-1} + b_t over a sequence, with resets inside.

Affine maps compose: (a₂, b₂) after (a₁, b₁) is (a₂ a₁, a₂ b₁ + b₂), and a map that starts an
episode discards those before it. This operator is associative, so pairs of maps can be composed in
log₂ T rounds. A CPU is faster with T single steps, which take less work in all.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Inexact
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.host import steps_with_start


def linear_scan(
    a: Inexact[Tensor, "T B *N"],
    b: Inexact[Tensor, "T B *N"],
    h0: Inexact[Tensor, " B *N"],
    start: Bool[Tensor, "T B"],
) -> Inexact[Tensor, "T B *N"]:
    """All h_t = a_t ∘ h_{t-1} + b_t; a row with ``start[t]`` begins step t from zeros.

    Real or complex. ``a`` may have any value, because the scan neither divides nor takes
    logarithms. Only first derivatives are supported.
    """
    return _LinearScan.apply(a, b, h0, start)  # type: ignore[no-any-return, no-untyped-call]


def one_by_one(
    a: Inexact[Tensor, "T B *N"],
    b: Inexact[Tensor, "T B *N"],
    h0: Inexact[Tensor, " B *N"],
    start: Bool[Tensor, "T B"],
) -> Inexact[Tensor, "T B *N"]:
    """The scan as T steps; no gradient."""
    h, out, zero = h0, torch.empty_like(b), b.new_zeros(())
    resets = steps_with_start(start)
    for t in range(len(b)):
        if resets[t]:
            h = torch.where(_mask(start[t], h), zero, h)
        h = torch.addcmul(b[t], a[t], h, out=out[t])
    return out


def by_doubling(
    a: Inexact[Tensor, "T B *N"],
    b: Inexact[Tensor, "T B *N"],
    h0: Inexact[Tensor, " B *N"],
    start: Bool[Tensor, "T B"],
) -> Inexact[Tensor, "T B *N"]:
    """The scan as log₂ T rounds of ``compose``; no gradient."""
    first = torch.where(_mask(start[0], h0), b[0], torch.addcmul(b[0], a[0], h0))
    b = torch.cat([first.unsqueeze(0), b[1:]])
    fresh, reach = _mask(start, b), 1
    while reach < len(b):
        left = (a[:-reach], b[:-reach], fresh[:-reach])
        whole = compose(left, (a[reach:], b[reach:], fresh[reach:]))
        a, b, fresh = (
            torch.cat([part[:reach], more]) for part, more in zip((a, b, fresh), whole, strict=True)
        )
        reach *= 2
    return b


def compose(
    left: tuple[Tensor, Tensor, Tensor], right: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The affine map ``right`` after ``left``, each (a, b, fresh); a fresh one discards the other.

    It selects, because the discarded map may be NaN.
    """
    (a1, b1, fresh1), (a2, b2, fresh2) = left, right
    b = torch.where(fresh2, b2, torch.addcmul(b2, a2, b1))
    return torch.where(fresh2, a2, a2 * a1), b, fresh1 | fresh2


def back_one_by_one(
    a: Inexact[Tensor, "T B *N"], dh: Inexact[Tensor, "T B *N"], start: Bool[Tensor, "T B"]
) -> Inexact[Tensor, "T B *N"]:
    """All g_t = dh_t + a*_{t+1} g_{t+1}, from the last step to the first; a start ends the sum.

    Reversing the sequence for ``one_by_one`` would copy it four times.
    """
    g, out, zero = dh[-1], torch.empty_like(dh), dh.new_zeros(())
    out[-1] = g
    resets = steps_with_start(start)
    for t in range(len(dh) - 2, -1, -1):
        if resets[t + 1]:
            g = torch.where(_mask(start[t + 1], g), zero, g)
        g = torch.addcmul(dh[t], a[t + 1].conj(), g, out=out[t])
    return out


def back_by_doubling(
    a: Inexact[Tensor, "T B *N"], dh: Inexact[Tensor, "T B *N"], start: Bool[Tensor, "T B"]
) -> Inexact[Tensor, "T B *N"]:
    """Like ``back_one_by_one``: ``by_doubling`` of the reversed sequence."""
    after = torch.cat([a[1:], torch.zeros_like(a[:1])]).conj().flip(0).resolve_conj()
    ends = torch.cat([start[1:], start.new_ones(1, start.shape[1])]).flip(0)
    return by_doubling(after, dh.flip(0), torch.zeros_like(dh[0]), ends).flip(0)


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor, start: Tensor) -> Tensor:
        h = _scan(a, b, h0, start)
        ctx.save_for_backward(a, h, h0, start)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient g_t = dh_t + a*_{t+1} g_{t+1} is the same recurrence, run backwards."""
        a, h, h0, start = ctx.saved_tensors
        g = _scan_back(a, dh, start)
        da, fresh = torch.empty_like(g), _mask(start, g)
        torch.mul(g[0], h0.conj(), out=da[0])
        torch.mul(g[1:], h[:-1].conj(), out=da[1:])
        da.masked_fill_(fresh, 0)  # select: the state before a start may be NaN
        return da, g, torch.where(fresh[0], 0, g[0] * a[0].conj()), None


def _scan_back(a: Tensor, dh: Tensor, start: Tensor) -> Tensor:
    return (back_by_doubling if dh.is_cuda else back_one_by_one)(a, dh, start)


def _scan(a: Tensor, b: Tensor, h0: Tensor, start: Tensor) -> Tensor:
    return by_doubling(a, b, h0, start) if b.is_cuda else one_by_one(a, b, h0, start)


def _mask(start: Tensor, like: Tensor) -> Tensor:
    return start.view(*start.shape, *[1] * (like.dim() - start.dim()))
