"""One step of an NTM's memory, and its gradient (NTM, §3); the reference is ``NTM._update``."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from memrl.memory.kernels import activations, attention
from memrl.memory.kernels.attention import by_content, by_content_reverse, dot, measure
from memrl.memory.kernels.by_type import ROW_STEPS, RowSteps
from memrl.memory.kernels.compile import Array, row
from memrl.memory.kernels.elementary import exp
from memrl.memory.kernels.rows import Kernel, RowMemory


class Sizes(NamedTuple):
    """Where the parts of the interface vector begin, and typed constants; its keys begin at 0."""

    reads: int  # width of the reads, R W
    add: int
    kernel: int
    strengths: int
    powers: int
    gates: int
    erase: int
    end: int
    one: float
    clip: float
    eps: float  # of the similarity
    tiny: float  # added to the weights that are sharpened


class Slots(NamedTuple):
    """The state, or its gradient; [B, ...] each, and without B for a row."""

    memory: Array  # [N, W]
    looked: Array  # [R, N]
    written: Array  # [D, N]


class Kept(NamedTuple):
    """What a step keeps for its gradient; [B, ...] each, and without B for a row."""

    interface: Array  # [S]  after the activations
    lengths: Array  # [H]  of the keys of H = R + D heads
    norms: Array  # [N]  of the memory's rows
    cosine: Array  # [H, N]
    content: Array  # [H, N]  weights by content
    gated: Array  # [H, N]  w^g
    shifted: Array  # [H, N]  w̃
    spare: Array  # [2, N]  for the way back


@row
def to_initial(sizes, d, d_initial):
    """At a start the gradient goes to the initial state, which is learned."""
    attention.add_rows(d_initial.memory, d.memory)
    attention.add_rows(d_initial.looked, d.looked)
    attention.add_rows(d_initial.written, d.written)
    attention.zero_rows(d.memory)
    attention.zero_rows(d.looked)
    attention.zero_rows(d.written)


@row
def access_row(sizes, asked, before, after, kept, reads):
    """Address, read and write the memory of the previous step."""
    R, D, W = len(before.looked), len(before.written), before.memory.shape[1]
    y = kept.interface
    activate(sizes, asked, y, (sizes.strengths - sizes.kernel) // (R + D))
    measure(before.memory, kept.norms)
    for h in range(R):
        address(sizes, h, before.memory, before.looked[h], kept, after.looked[h])
        attention.read(after.looked[h], before.memory, reads[h * W : (h + 1) * W])
    for h in range(D):
        address(sizes, R + h, before.memory, before.written[h], kept, after.written[h])
    write(before.memory, after.written, y[sizes.erase :], y[sizes.add :], after.memory)


@row
def activate(sizes, asked, y, shifts):
    """Clip the interface vector; kernels by softmax, β = softplus, γ = 1 + softplus, gates by σ."""
    activations.clip(asked, sizes.clip, y)
    for j in range(sizes.kernel, sizes.strengths, shifts):
        attention.softmax(y[j : j + shifts])
    for j in range(sizes.strengths, sizes.powers):
        y[j] = math.log1p(exp(y[j]))
    activations.above_one(sizes.one, y[sizes.powers : sizes.gates])
    activations.sigmoid(y[sizes.gates :])


@row
def address(sizes, h, memory, last, kept, w):
    """By content (eq. 5–6), gated with the last weights (7), shifted (8), sharpened (9)."""
    y, W, N = kept.interface, memory.shape[1], len(w)
    heads = sizes.powers - sizes.strengths
    kept.lengths[h] = math.sqrt(dot(y[h * W : (h + 1) * W], y[h * W : (h + 1) * W]))
    by_content(sizes, h, memory, kept.norms, kept)
    content, gated, shifted = kept.content[h], kept.gated[h], kept.shifted[h]
    g = y[sizes.gates + h]
    for i in range(N):
        gated[i] = last[i] + g * (content[i] - last[i])
    shifts = (sizes.strengths - sizes.kernel) // heads
    s = y[sizes.kernel + h * shifts :]
    attention.zero(shifted)
    for k in range(shifts):
        offset = k - shifts // 2
        for i in range(N):
            shifted[i] += gated[(i - offset) % N] * s[k]
    gamma = y[sizes.powers + h]
    for i in range(N):
        w[i] = gamma * math.log(shifted[i] + sizes.tiny)
    attention.softmax(w)


@row
def write(memory, w, erase, add, after):
    """M ∘ Π_h (1 − w_h e_hᵀ) + Σ_h w_h a_hᵀ (eq. 3–4)."""
    N, W = memory.shape
    for i in range(N):
        for j in range(W):
            after[i, j] = memory[i, j]
        for h in range(len(w)):
            for j in range(W):
                after[i, j] -= after[i, j] * w[h, i] * erase[h * W + j]
        for h in range(len(w)):
            for j in range(W):
                after[i, j] += w[h, i] * add[h * W + j]


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d):
    """The steps of ``access_row`` in reverse order."""
    R, D, W = len(before.looked), len(before.written), before.memory.shape[1]
    y, d_y = kept.interface, d_asked
    attention.zero(d_y)
    erase, add = slice(sizes.erase, sizes.end), slice(sizes.add, sizes.kernel)
    write_reverse(sizes, before.memory, after.written, y[erase], y[add], d, d_y[erase], d_y[add])
    for h in range(R):
        words = d_reads[h * W : (h + 1) * W]
        attention.read_reverse(words, after.looked[h], before.memory, d.looked[h], d.memory)
        last, w = before.looked[h], after.looked[h]
        address_reverse(sizes, h, before.memory, last, kept, w, d.looked[h], d_y, d)
    for h in range(D):
        last, w = before.written[h], after.written[h]
        address_reverse(sizes, R + h, before.memory, last, kept, w, d.written[h], d_y, d)
    activate_reverse(sizes, asked, y, d_y, (sizes.strengths - sizes.kernel) // (R + D))


@row
def activate_reverse(sizes, asked, y, d, shifts):
    for j in range(sizes.kernel, sizes.strengths, shifts):
        attention.softmax_reverse(d[j : j + shifts], y[j : j + shifts])
    for j in range(sizes.strengths, sizes.powers):
        d[j] -= d[j] * exp(-y[j])  # the slope of softplus
    gamma, gates = slice(sizes.powers, sizes.gates), slice(sizes.gates, sizes.end)
    activations.above_one_reverse(sizes.one, y[gamma], d[gamma])
    activations.sigmoid_reverse(y[gates], d[gates])
    activations.clip_reverse(asked, sizes.clip, d)


@row
def address_reverse(sizes, h, memory, last, kept, w, d, d_y, d_slots):
    """``d``: of the weights of this step, then of the last ones."""
    y, N = kept.interface, len(w)
    heads = sizes.powers - sizes.strengths
    content, gated, shifted = kept.content[h], kept.gated[h], kept.shifted[h]
    d_gated, d_content = kept.spare[0], kept.spare[1]
    attention.softmax_reverse(d, w)
    gamma = y[sizes.powers + h]
    for i in range(N):
        d_y[sizes.powers + h] += d[i] * math.log(shifted[i] + sizes.tiny)
        d[i] *= gamma / (shifted[i] + sizes.tiny)
    shifts = (sizes.strengths - sizes.kernel) // heads
    s, d_s = y[sizes.kernel + h * shifts :], d_y[sizes.kernel + h * shifts :]
    attention.zero(d_gated)
    for k in range(shifts):
        offset = k - shifts // 2
        for i in range(N):
            d_gated[(i - offset) % N] += d[i] * s[k]
            d_s[k] += d[i] * gated[(i - offset) % N]
    g = y[sizes.gates + h]
    for i in range(N):
        d_y[sizes.gates + h] += d_gated[i] * (content[i] - last[i])
        d_content[i] = g * d_gated[i]
        d[i] = d_gated[i] - d_content[i]
    by_content_reverse(sizes, h, d_content, memory, kept.norms, kept, d_y, d_slots.memory)


@row
def write_reverse(sizes, memory, w, erase, add, d, d_erase, d_add):
    (N, W), D = memory.shape, len(w)
    for i in range(N):
        for j in range(W):
            own, kept = d.memory[i, j], sizes.one
            for h in range(D):
                others = sizes.one
                for k in range(D):
                    if k != h:
                        others -= others * w[k, i] * erase[k * W + j]
                lost = own * memory[i, j] * others
                d.written[h, i] += own * add[h * W + j] - lost * erase[h * W + j]
                d_add[h * W + j] += own * w[h, i]
                d_erase[h * W + j] -= lost * w[h, i]
                kept -= kept * w[h, i] * erase[h * W + j]
            d.memory[i, j] = own * kept


ROW_STEPS[Sizes] = RowSteps(access_row, reverse_row, to_initial)


@cache
def memory(
    dtype: str, slots: int, word_dim: int, heads: tuple[int, int], shifts: int, *constants: float
) -> RowMemory:
    """An NTM's memory; its leaves are those of ``Slots``.

    ``heads``: that read and that write; ``constants``: clip, eps and tiny.
    """
    (R, D), N, W = heads, slots, word_dim
    H = R + D
    widths = [H * W, D * W, H * shifts, H, H, H, D * W]
    shapes = {
        "interface": (sum(widths),),
        "lengths": (H,),
        "norms": (N,),
        "cosine": (H, N),
        "content": (H, N),
        "gated": (H, N),
        "shifted": (H, N),
        "spare": (2, N),
    }
    typed = map(np.dtype(dtype).type, (1, *constants))
    sizes = Sizes(R * W, *np.cumsum(widths).tolist(), *typed)
    return RowMemory(Kernel(Slots, Kept, sizes, shapes))
