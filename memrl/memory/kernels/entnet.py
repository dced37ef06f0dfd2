"""An EntNet over a sequence, row by row: all steps, and their gradients; see `memrl.memory.entnet`.

The slots of a row are the rows of its product with U.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from memrl.memory.kernels import elementary
from memrl.memory.kernels.attention import (
    add,
    add_rows,
    add_scaled,
    copy,
    dot,
    read,
    softmax,
    softmax_reverse,
    zero,
    zero_rows,
)
from memrl.memory.kernels.by_type import at
from memrl.memory.kernels.compile import Array, loop, row
from memrl.memory.kernels.products import add_product_rows


class Sizes(NamedTuple):
    """Typed constants."""

    one: float
    eps: float  # least length of a slot


class Input(NamedTuple):
    """What depends on the input alone, [T, B, ...]."""

    s: Array  # [W]
    q: Array  # [W]
    keyed: Array  # [N]  sᵀ w_j + b_j
    offset: Array  # [W]  W s


class Weights(NamedTuple):
    """What all steps share."""

    u: Array  # [W, W]  U; turned for the way forward
    of_keys: Array  # [N, W]  V w_j + b
    slope: Array  # [W]  of φ below zero
    first: Array  # [N, W]  the slots before an episode


class Kept(NamedTuple):
    """What a step keeps for its gradient, [T, B, ...]."""

    before: Array  # [N, W]  the slots, after a reset
    offered: Array  # [N, W]  before φ
    after: Array  # [N, W]  h_j
    gates: Array  # [N]  g_j
    lengths: Array  # [N]  by which h_j was divided
    looks: Array  # [N]  p_j


class Small(NamedTuple):
    """Gradients of ``Weights`` but U, [B, ...]."""

    of_keys: Array
    slope: Array
    first: Array


@loop
def sequence(begin, end, sizes, start, given, p, kept, reads):
    """All steps of some rows, to u of each, [T, B, W]."""
    for b in range(begin, end):
        for t in range(len(reads)):
            here = at(kept, (t, b))
            step_row(sizes, at(given, (t, b)), p, here, reads[t, b])
            if t + 1 < len(reads):
                again = start[t + 1, b]
                for j in range(len(p.first)):
                    copy(kept.before[t + 1, b, j], p.first[j] if again else here.after[j])


@row
def step_row(sizes, given, p, kept, words):
    """The new slots, and what is read from them."""
    for j in range(len(kept.before)):
        copy(kept.offered[j], p.of_keys[j])
        add(kept.offered[j], given.offset)
    add_product_rows(kept.before, p.u, kept.offered)
    for j in range(len(kept.before)):
        old, new = kept.before[j], kept.after[j]
        kept.gates[j] = elementary.sigmoid(given.keyed[j] + dot(given.s, old))
        write(sizes.one, old, kept.gates[j], kept.offered[j], p.slope, new)
        kept.lengths[j] = max(math.sqrt(dot(new, new)), sizes.eps)
        divide(new, sizes.one / kept.lengths[j])
        kept.looks[j] = dot(new, given.q)
    softmax(kept.looks)
    read(kept.looks, kept.after, words)


@row
def write(one, old, gate, offered, slope, new):
    """Put h + g φ(x) into ``new``; φ is x above zero and slope ∘ x below."""
    for i in range(len(new)):
        new[i] = old[i] + gate * offered[i] * (one if offered[i] > 0 else slope[i])


@row
def divide(x, inverse):
    for i in range(len(x)):
        x[i] *= inverse


@loop
def sequence_reverse(begin, end, sizes, start, given, p, kept, d_reads, flow, d_offered, small, d):
    """The gradients of all steps; ``d`` [B, N, W]: of the slots, ``flow`` of ``given``."""
    for b in range(begin, end):
        sums = at(small, b)
        for t in range(len(d_reads) - 1, -1, -1):
            here, back = at(kept, (t, b)), at(flow, (t, b))
            own = d_offered[t, b]
            reverse_row(sizes, at(given, (t, b)), p, here, d_reads[t, b], back, own, sums, d[b])
            if start[t, b]:
                add_rows(sums.first, d[b])
                zero_rows(d[b])


@row
def reverse_row(sizes, given, p, kept, d_words, flow, d_offered, small, d):
    """From the gradients of what was read and of the new slots to that of the slots, in place."""
    N, d_looks = len(d), flow.keyed
    zero(flow.s)
    zero(flow.q)
    zero(flow.offset)
    for j in range(N):
        d_looks[j] = dot(d_words, kept.after[j])
        add_scaled(d[j], kept.looks[j], d_words)
    softmax_reverse(d_looks, kept.looks)
    for j in range(N):
        old, new, gate = kept.before[j], kept.after[j], kept.gates[j]
        add_scaled(flow.q, d_looks[j], new)
        add_scaled(d[j], d_looks[j], given.q)
        if kept.lengths[j] > sizes.eps:
            add_scaled(d[j], -dot(d[j], new), new)
        divide(d[j], sizes.one / kept.lengths[j])
        d_gate = write_reverse(
            sizes.one, d[j], gate, kept.offered[j], p.slope, d_offered[j], small.slope
        )
        flow.keyed[j] = d_gate * (gate - gate * gate)
        add_scaled(flow.s, flow.keyed[j], old)
        add_scaled(d[j], flow.keyed[j], given.s)
        add(flow.offset, d_offered[j])
        add(small.of_keys[j], d_offered[j])
    add_product_rows(d_offered, p.u, d)


@row
def write_reverse(one, d, gate, offered, slope, d_offered, d_slope):
    """To what was offered and the slope; returns the gradient of the gate."""
    d_gate = d.dtype.type(0)
    for i in range(len(d)):
        through = d[i] * (one if offered[i] > 0 else slope[i])
        d_gate += through * offered[i]
        d_offered[i] = gate * through
    for i in range(len(d)):
        d_slope[i] += gate * d[i] * min(offered[i], offered.dtype.type(0))
    return d_gate
