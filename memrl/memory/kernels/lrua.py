"""One step of LRUA's memory, and its gradient (MANN, eq. 2–8); see ``LRUA._update``."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from memrl.memory.kernels import attention
from memrl.memory.kernels.attention import dot, measure
from memrl.memory.kernels.by_type import ROW_STEPS, RowSteps
from memrl.memory.kernels.compile import Array, row
from memrl.memory.kernels.elementary import sigmoid, tanh
from memrl.memory.kernels.rows import Kernel, RowMemory


class Sizes(NamedTuple):
    """Typed constants."""

    reads: int  # R W: width of the reads, and of the keys, after which the gates begin
    one: float
    decay: float
    eps: float  # of the similarity


class Slots(NamedTuple):
    """The state, or its gradient; [B, ...] each, and without B for a row."""

    memory: Array  # [N, W]
    usage: Array  # [N]
    looked: Array  # [R, N]


class Kept(NamedTuple):
    """What a step keeps for its gradient; [B, ...] each, and without B for a row."""

    interface: Array  # [S]  after the activations
    lengths: Array  # [R]  of the keys
    least: Array  # [N]  1 in the least used slots, else 0
    written: Array  # [R, N]
    norms: Array  # [N]  of the new memory's rows
    cosine: Array  # [R, N]


@row
def forget(sizes, d, d_initial):
    """Nothing passes a start, and nothing of the initial state is learned."""
    attention.zero_rows(d.memory)
    attention.zero(d.usage)
    attention.zero_rows(d.looked)


@row
def access_row(sizes, asked, before, after, kept, reads):
    """Write, then read the new memory."""
    R, (N, W) = len(before.looked), before.memory.shape
    y, w = kept.interface, kept.written
    for j in range(sizes.reads):
        y[j] = tanh(asked[j])
    for h in range(R):
        y[sizes.reads + h] = sigmoid(asked[sizes.reads + h])
        key = y[h * W : (h + 1) * W]
        kept.lengths[h] = math.sqrt(dot(key, key))
    least_used(before.usage, R, kept.least)
    for h in range(R):
        alpha = y[sizes.reads + h]
        for i in range(N):
            w[h, i] = kept.least[i] + alpha * (before.looked[h, i] - kept.least[i])
    for i in range(N):
        after.usage[i] = sizes.decay * before.usage[i]
        for j in range(W):
            after.memory[i, j] = before.memory[i, j] if kept.least[i] == 0 else kept.least[i] * 0
        for h in range(R):
            attention.add_scaled(after.memory[i], w[h, i], y[h * W : (h + 1) * W])
    measure(after.memory, kept.norms)
    for h in range(R):
        key, r = y[h * W : (h + 1) * W], after.looked[h]
        attention.look(
            key,
            kept.lengths[h],
            sizes.one,
            after.memory,
            kept.norms,
            sizes.eps,
            kept.cosine[h],
            r,
        )
        attention.read(r, after.memory, reads[h * W : (h + 1) * W])
        for i in range(N):
            after.usage[i] += r[i] + w[h, i]


@row
def least_used(usage, count, least):
    """1 in the ``count`` least used slots, the lower of equals (eq. 6)."""
    attention.zero(least)
    for _ in range(count):
        best = -1
        for i in range(len(usage)):
            if least[i] == 0 and (best < 0 or usage[i] < usage[best]):
                best = i
        least[best] = 1


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d):
    """The steps of ``access_row`` in reverse order."""
    R, (N, W) = len(before.looked), before.memory.shape
    y, d_y = kept.interface, d_asked
    attention.zero(d_y)
    for h in range(R):
        key, d_key = y[h * W : (h + 1) * W], d_y[h * W : (h + 1) * W]
        r, d_r = after.looked[h], d.looked[h]
        attention.read_reverse(d_reads[h * W : (h + 1) * W], r, after.memory, d_r, d.memory)
        attention.look_reverse(
            d_r,
            key,
            kept.lengths[h],
            sizes.one,
            after.memory,
            kept.norms,
            sizes.eps,
            kept.cosine[h],
            r,
            d_key,
            d.memory,
        )
    for h in range(R):
        key, d_key = y[h * W : (h + 1) * W], d_y[h * W : (h + 1) * W]
        alpha, d_alpha = y[sizes.reads + h], d_y.dtype.type(0)
        for i in range(N):
            d_w = dot(d.memory[i], key)
            attention.add_scaled(d_key, kept.written[h, i], d.memory[i])
            d_alpha += d_w * (before.looked[h, i] - kept.least[i])
            d.looked[h, i] = d_w * alpha
        d_y[sizes.reads + h] = d_alpha * (alpha - alpha * alpha)
    for j in range(sizes.reads):
        d_y[j] -= d_y[j] * y[j] * y[j]
    for i in range(N):
        d.usage[i] *= sizes.decay
        if kept.least[i] != 0:
            attention.zero(d.memory[i])


ROW_STEPS[Sizes] = RowSteps(access_row, reverse_row, forget)


@cache
def memory(dtype: str, slots: int, word_dim: int, read_heads: int, *constants: float) -> RowMemory:
    """LRUA's memory; leaves as ``Slots``. ``constants``: the usage's decay and eps."""
    N, W, R = slots, word_dim, read_heads
    shapes = {
        "interface": (R * (W + 1),),
        "lengths": (R,),
        "least": (N,),
        "written": (R, N),
        "norms": (N,),
        "cosine": (R, N),
    }
    sizes = Sizes(R * W, *map(np.dtype(dtype).type, (1, *constants)))
    return RowMemory(Kernel(Slots, Kept, sizes, shapes))
