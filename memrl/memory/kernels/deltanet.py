"""The delta rule over rows, step by step; `memrl.memory.ops.linear_attention` takes it in chunks.

The matrices of all steps of one head fit into the cache, and the backward pass computes them again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.kernels.attention import add_scaled, copy, dot, read, read_reverse, zero_rows
from memrl.memory.kernels.compile import Array, loop, row
from memrl.memory.kernels.elementary import exp
from memrl.memory.kernels.rows import gradient
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide
from memrl.memory.ops.gated import owned


class Room(NamedTuple):
    """What all steps of a head leave behind; a thread uses that of its first row."""

    faded: Array  # [B, T, K, K]  α S before the write
    after: Array  # [B, T, K, K]  S
    known: Array  # [B, T, K]
    u: Array  # [B, T, K]
    d_u: Array  # [B, K]


def delta_rule(x: Tensor, memory: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """All reads [T, B, heads · K], and the memory after the last step.

    ``x`` holds q, k, v, an output gate that is not read here, β and log α, as `DeltaNet` projects
    its input; ``memory`` [B, heads, K, K] is that before the sequence.
    """
    return _DeltaRule.apply(x, memory, start)  # type: ignore[no-any-return]


class _DeltaRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, memory: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        (T, B), (_, heads, K, _) = start.shape, memory.shape
        reads, after = x.new_empty(T, B, heads * K), owned(memory)
        u = np.empty((B, K), reads.numpy().dtype)
        divide(sequence, B, 1, array_of(start), array_of(x), after.numpy(), u, reads.numpy())
        ctx.save_for_backward(x, memory, start)
        ctx.set_materialize_grads(False)
        return reads, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_reads: Tensor | None, d_after: Tensor | None) -> tuple[Any, ...]:
        x, memory, start = ctx.saved_tensors
        (T, B), (_, heads, K, _) = start.shape, memory.shape
        d, d_x = gradient(memory, d_after), x.new_zeros(x.shape)
        d_reads = x.new_zeros(T, B, heads * K) if d_reads is None else d_reads
        given = [array_of(each) for each in (start, x, memory, d_reads)]
        shapes = (B, T, K, K), (B, T, K, K), (B, T, K), (B, T, K), (B, K)
        room = Room(*(np.empty(shape, given[1].dtype) for shape in shapes))
        divide(sequence_reverse, B, 1, *given, room, d.numpy(), d_x.numpy())
        return d_x, d, None


@loop
def sequence(begin, end, start, x, memory, u, reads):
    """All steps of some rows; ``memory`` [B, heads, K, K] is edited in place."""
    _, heads, K, _ = memory.shape
    width = heads * K
    for b in range(begin, end):
        for t in range(len(x)):
            for h in range(heads):
                q, k, v, beta, fade = part(x[t, b], h, width, K)
                S = memory[b, h]
                if start[t, b]:
                    zero_rows(S)
                scale_rows(S, exp(fade[0]))
                read(k, S, u[b])
                correct(u[b], beta[0], v, u[b])
                write(k, u[b], S)
                read(q, S, reads[t, b, h * K : (h + 1) * K])


@row
def part(x, h, width, K):
    """q, k, v, β and log α of a head."""
    gates = x[4 * width :]
    heads = len(gates) // 2
    return (
        x[h * K : (h + 1) * K],
        x[width + h * K : width + (h + 1) * K],
        x[2 * width + h * K : 2 * width + (h + 1) * K],
        gates[h : h + 1],
        gates[heads + h : heads + h + 1],
    )


@row
def scale_rows(S, alpha):
    for i in range(len(S)):
        for j in range(len(S)):
            S[i, j] *= alpha


@row
def correct(known, beta, v, u):
    """U = β (v - what the key returns)."""
    for j in range(len(u)):
        u[j] = beta * (v[j] - known[j])


@row
def write(k, u, S):
    """Add k uᵀ."""
    for i in range(len(k)):
        add_scaled(S[i], k[i], u)


@loop
def sequence_reverse(begin, end, start, x, memory, d_reads, room, d, d_x):
    """The gradients of all steps; ``d`` is that of the memory."""
    T, (_, heads, K, _) = len(x), memory.shape
    width = heads * K
    faded, after, known, u = room.faded[begin], room.after[begin], room.known[begin], room.u[begin]
    d_u = room.d_u[begin]
    for b in range(begin, end):
        for h in range(heads):
            for t in range(T):
                _, k, v, beta, fade = part(x[t, b], h, width, K)
                if start[t, b]:
                    zero_rows(faded[t])
                else:
                    copy_rows(faded[t], memory[b, h] if t == 0 else after[t - 1])
                scale_rows(faded[t], exp(fade[0]))
                read(k, faded[t], known[t])
                correct(known[t], beta[0], v, u[t])
                copy_rows(after[t], faded[t])
                write(k, u[t], after[t])
            for t in range(T - 1, -1, -1):
                head, d_head = part(x[t, b], h, width, K), part(d_x[t, b], h, width, K)
                d_read = d_reads[t, b, h * K : (h + 1) * K]
                step_reverse(head, faded[t], after[t], known[t], u[t], d_read, d_head, d_u, d[b, h])
                if start[t, b]:
                    zero_rows(d[b, h])


@row
def copy_rows(x, y):
    for i in range(len(x)):
        copy(x[i], y[i])


@row
def step_reverse(head, faded, after, known, u, d_read, d_head, d_u, d):
    """From the gradient ``d`` of the memory after a step to that before it."""
    (q, k, v, beta, fade), (d_q, d_k, d_v, d_beta, d_fade) = head, d_head
    read_reverse(d_read, q, after, d_q, d)
    read(k, d, d_u)
    for i in range(len(k)):
        d_k[i] += dot(d[i], u)
    d_beta[0] += dot(d_u, v) - dot(d_u, known)
    for j in range(len(d_u)):
        d_u[j] *= beta[0]
        d_v[j] += d_u[j]
        d_u[j] = -d_u[j]  # now of what the key returned
    read_reverse(d_u, k, faded, d_k, d)
    for i in range(len(k)):
        d_fade[0] += dot(d[i], faded[i])
    scale_rows(d, exp(fade[0]))
