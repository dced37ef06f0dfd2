"""`memrl.memory.ops.selective` over rows: a whole sequence in one pass each way.

The states of all steps are not kept: the backward pass computes them again, row by row (Mamba,
section 3.3.2, does so on a GPU).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.kernels.attention import add_scaled, dot, zero, zero_rows
from memrl.memory.kernels.compile import Array, loop, row
from memrl.memory.kernels.elementary import exp
from memrl.memory.kernels.rows import gradient
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide
from memrl.memory.ops.gated import owned

CONTIGUOUS: Final = torch.contiguous_format


class Given(NamedTuple):
    """What a scan reads."""

    start: Array  # bool [T, B]
    delta: Array  # [T, B, E]
    u: Array  # [T, B, E]
    B: Array  # [T, B, N]
    C: Array  # [T, B, N]
    A: Array  # [N, E]
    first: Array  # [B, N, E]


class Room(NamedTuple):
    """What all steps of a row leave behind; a thread uses that of its first row."""

    keep: Array  # [B, T, N, E]  e^(Δ A)
    h: Array  # [B, T, N, E]
    drive: Array  # [B, T, E]  Δ u


class Gradients(NamedTuple):
    """Of what a scan reads, and of its reads."""

    y: Array  # [T, B, E]
    delta: Array  # [T, B, E]
    u: Array  # [T, B, E]
    B: Array  # [T, B, N]
    C: Array  # [T, B, N]
    A: Array  # [B, N, E]  of each row
    h: Array  # [B, N, E]  of the state after a step; at the end, before the first
    drive: Array  # [B, E]


def selective_scan(
    delta: Tensor, u: Tensor, B: Tensor, C: Tensor, A: Tensor, first: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    y, last = _SelectiveScan.apply(start, delta, u, B, C, A.t(), first.mT)
    return y, last.mT


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor]:
        delta, first = given[1], given[-1]
        y, h = delta.new_empty(delta.shape), owned(first)
        arrays = Given(*map(array_of, given))
        drive = np.empty(arrays.delta.shape[1:], arrays.delta.dtype)
        divide(scan, len(h), 1, arrays, h.numpy(), drive, y.numpy())
        ctx.save_for_backward(*given)
        ctx.set_materialize_grads(False)
        return y, h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        start, *inputs, A, first = ctx.saved_tensors
        (T, rows), (N, E) = start.shape, A.shape
        dy = torch.zeros_like(inputs[0]) if dy is None else dy
        d_inputs = [torch.empty_like(leaf, memory_format=CONTIGUOUS) for leaf in inputs]
        d_A, d_h = first.new_zeros(first.shape), gradient(first, d_last)
        drive = dy.new_empty(rows, E)
        d = Gradients(*map(array_of, (dy, *d_inputs, d_A, d_h, drive)))
        shapes = (rows, T, N, E), (rows, T, N, E), (rows, T, E)
        room = Room(*(np.empty(shape, d.y.dtype) for shape in shapes))
        divide(scan_reverse, rows, 1, Given(*map(array_of, ctx.saved_tensors)), room, d)
        return None, *d_inputs, d_A.sum(0), d_h


@loop
def scan(begin, end, given, h, drive, y):
    """All steps of some rows; ``h`` [B, N, E] is edited in place."""
    T, N = len(y), h.shape[1]
    for b in range(begin, end):
        for t in range(T):
            delta, B, C = given.delta[t, b], given.B[t, b], given.C[t, b]
            if given.start[t, b]:
                zero_rows(h[b])
            times(drive[b], delta, given.u[t, b])
            zero(y[t, b])
            for n in range(N):
                advance(h[b, n], delta, given.A[n], B[n], drive[b])
                add_scaled(y[t, b], C[n], h[b, n])


@row
def times(x, y, z):
    for i in range(len(x)):
        x[i] = y[i] * z[i]


@row
def advance(h, delta, A, B, drive):
    for i in range(len(h)):
        h[i] = exp(delta[i] * A[i]) * h[i] + B * drive[i]


@loop
def scan_reverse(begin, end, given, room, d):
    """The gradients of all steps."""
    keep, h, drive = room.keep[begin], room.h[begin], room.drive[begin]
    for b in range(begin, end):
        again(b, given, keep, h, drive)
        for t in range(len(h) - 1, -1, -1):
            step_reverse(t, b, given, keep[t], h, drive[t], d)


@row
def again(b, given, keep, h, drive):
    """The states of all steps of a row."""
    for t in range(len(h)):
        delta, B = given.delta[t, b], given.B[t, b]
        times(drive[t], delta, given.u[t, b])
        for n in range(len(B)):
            decay(keep[t, n], delta, given.A[n])
            scaled(h[t, n], B[n], drive[t])
            if not given.start[t, b]:
                add_product(h[t, n], keep[t, n], given.first[b, n] if t == 0 else h[t - 1, n])


@row
def decay(keep, delta, A):
    for i in range(len(keep)):
        keep[i] = exp(delta[i] * A[i])


@row
def scaled(x, scale, y):
    for i in range(len(x)):
        x[i] = scale * y[i]


@row
def add_product(x, y, z):
    for i in range(len(x)):
        x[i] += y[i] * z[i]


@row
def step_reverse(t, b, given, keep, h, drive, d):
    """From the gradient of h after step t to that before it."""
    delta, B, C = given.delta[t, b], given.B[t, b], given.C[t, b]
    dy, d_h, d_delta, d_drive = d.y[t, b], d.h[b], d.delta[t, b], d.drive[b]
    zero(d_drive)
    zero(d_delta)
    for n in range(len(B)):
        add_scaled(d_h[n], C[n], dy)
        d.C[t, b, n] = dot(dy, h[t, n])
        d.B[t, b, n] = dot(d_h[n], drive)
        add_scaled(d_drive, B[n], d_h[n])
        if given.start[t, b]:
            zero(d_h[n])
        else:
            before = given.first[b, n] if t == 0 else h[t - 1, n]
            multiply(d_h[n], keep[n])
            decay_reverse(d_h[n], before, given.A[n], delta, d_delta, d.A[b, n])
    times(d.u[t, b], d_drive, delta)
    add_product(d_delta, d_drive, given.u[t, b])


@row
def multiply(x, y):
    for i in range(len(x)):
        x[i] *= y[i]


@row
def decay_reverse(d, h, A, delta, d_delta, d_A):
    """To the gradients of Δ and A; ``d`` is the gradient of the ``h`` before."""
    for i in range(len(d)):
        w = d[i] * h[i]
        d_delta[i] += w * A[i]
        d_A[i] += w * delta[i]
