"""`memrl.memory.ops.rotation` over rows: a whole sequence in one pass each way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.kernels.attention import add_rows, copy, zero, zero_rows
from memrl.memory.kernels.compile import loop, row
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide


def rotating_scan(rates: Tensor, drive: Tensor, first: Tensor, start: Tensor) -> Tensor:
    return _RotatingScan.apply(rates, drive, first, start)  # type: ignore[no-any-return]


class _RotatingScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rates: Tensor, drive: Tensor, first: Tensor, start: Tensor) -> Tensor:
        h = drive.new_empty(*start.shape, *rates.shape)
        given = [array_of(each) for each in (start, rates, drive, first)]
        divide(scan, start.shape[1], 1, *given, h.numpy())
        ctx.save_for_backward(rates, first, start, h)
        ctx.width = drive.shape[2]
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        rates, first, start, h = ctx.saved_tensors
        d_rates, d = h.new_zeros(2, *first.shape)  # each row has a gradient of the rates
        d_drive = h.new_empty(*start.shape, ctx.width)
        given = [array_of(each) for each in (start, rates, first, h, dh)]
        flow = (d_rates.numpy(), d.numpy(), d_drive.numpy())
        divide(scan_reverse, start.shape[1], 1, *given, *flow)
        return d_rates.sum(0), d_drive, d, None


@loop
def scan(begin, end, start, rates, drive, first, h):
    """All steps of some rows."""
    for t in range(len(h)):
        for b in range(begin, end):
            spread(drive[t, b], h[t, b])
            if not start[t, b]:
                before = first[b] if t == 0 else h[t - 1, b]
                turn(rates[0], rates[1], before[0], before[1], h[t, b, 0], h[t, b, 1])


@row
def spread(x, h):
    """From the drive of a step to all of h."""
    N = h.shape[1]
    if len(x) == 2 * N:
        copy(h[0], x[:N])
        copy(h[1], x[N:])
    else:
        each = N // len(x)
        for i in range(len(x)):
            for j in range(each):
                h[0, i * each + j] = x[i]
        zero(h[1])


@row
def turn(re, im, x, y, h_re, h_im):
    """Add λ (x + i y) to h."""
    for j in range(len(re)):
        h_re[j] += re[j] * x[j] - im[j] * y[j]
        h_im[j] += re[j] * y[j] + im[j] * x[j]


@loop
def scan_reverse(begin, end, start, rates, first, h, dh, d_rates, d, d_drive):
    """The gradients of all steps; ``d``, that of h, becomes that of ``first``."""
    for t in range(len(h) - 1, -1, -1):
        for b in range(begin, end):
            add_rows(d[b], dh[t, b])
            gather(d[b], d_drive[t, b])
            if start[t, b]:
                zero_rows(d[b])
            else:
                before = first[b] if t == 0 else h[t - 1, b]
                rate_reverse(d[b, 0], d[b, 1], before[0], before[1], d_rates[b, 0], d_rates[b, 1])
                turn_back(rates[0], rates[1], d[b, 0], d[b, 1])


@row
def gather(d, d_x):
    N = d.shape[1]
    if len(d_x) == 2 * N:
        copy(d_x[:N], d[0])
        copy(d_x[N:], d[1])
    else:
        each = N // len(d_x)
        for i in range(len(d_x)):
            d_x[i] = 0
            for j in range(each):
                d_x[i] += d[0, i * each + j]


@row
def rate_reverse(d_re, d_im, x, y, d_rate_re, d_rate_im):
    """Add d (x + i y)* to the gradient of λ."""
    for j in range(len(x)):
        d_rate_re[j] += d_re[j] * x[j] + d_im[j] * y[j]
        d_rate_im[j] += d_im[j] * x[j] - d_re[j] * y[j]


@row
def turn_back(re, im, d_re, d_im):
    """Replace d by λ* d."""
    for j in range(len(re)):
        d = d_re[j]
        d_re[j] = re[j] * d + im[j] * d_im[j]
        d_im[j] = re[j] * d_im[j] - im[j] * d
