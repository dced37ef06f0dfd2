"""The loops over the rows of a batch: one step of a memory, or its whole sequence with the LSTM.

Rows do not wait for each other, so each thread has one call for a sequence of its rows.
"""

from __future__ import annotations

from typing import NamedTuple

from memrl.memory.kernels import by_type, lstm
from memrl.memory.kernels.attention import add, copy, zero
from memrl.memory.kernels.by_type import at
from memrl.memory.kernels.compile import Array, loop
from memrl.memory.kernels.products import add_product, multiply


class Sequence(NamedTuple):
    """The controller's part of a sequence."""

    start: Array  # bool [T, B]
    u: Array  # [H + V, 4H]  from h and the reads to the gates
    w: Array  # [H, S]  from h to the interface vector
    bias: Array  # [S]
    first_reads: Array  # [1, V]  before an episode
    asked: Array  # [T, B, S]  the interface vector before its activations
    seen: Array  # [T, B, H + V]  h and the reads
    product: Array  # [B, 4H]


class Gradients(NamedTuple):
    """What flows back."""

    u: Array  # [4H, H + V]
    w: Array  # [S, H]
    seen: Array  # [T, B, H + V]
    fed: Array  # [B, H + V]  of h and the reads before a step
    c: Array  # [B, H]
    gates: Array  # [T, B, 4H]
    asked: Array  # [T, B, S]
    first_fed: Array  # [B, H + V]  of h and the reads before an episode
    first_c: Array  # [B, H]


@loop
def access(begin, end, sizes, start, asked, before, initial, after, kept, reads, shared, rows):
    """One step of some rows; where ``start``, from the ``initial`` state [1, ...]."""
    for b in range(begin, end):
        first = at(initial, 0) if start[b] else at(before, b)
        given = (*shared, *at(rows, b))
        by_type.access(sizes, asked[b], first, at(after, b), at(kept, b), reads[b], *given)


@loop
def sequence(begin, end, sizes, run, order, gates, slots, initial, kept, shared, rows):
    """All steps of the controller and its memory, products included."""
    T, _, H = gates.tanh_c.shape
    for b in range(begin, end):
        given = (*shared, *at(rows, b))
        for t in range(T):
            multiply(gates.h_in[t, b], run.u, run.product[b])
            lstm.step_row(t, b, order, run.product[b], gates, run.seen)
            asked, reads = run.asked[t, b], run.seen[t, b, H:]
            copy(asked, run.bias)
            add_product(run.seen[t, b, :H], run.w, asked)
            first = at(initial, 0) if run.start[t, b] else at(slots, (t, b))
            after, ours = at(slots, (t + 1, b)), at(kept, (t, b))
            by_type.access(sizes, asked, first, after, ours, reads, *given)
            again = t + 1 < T and run.start[t + 1, b]
            copy(gates.h_in[t + 1, b, H:], run.first_reads[0] if again else reads)


@loop
def sequence_reverse(
    begin, end, sizes, run, order, gates, slots, initial, kept, flow, d, shared, rows
):
    """The gradients of all steps; ``d``: of the state, and of the state before an episode."""
    T, _, H = gates.tanh_c.shape
    for b in range(begin, end):
        given = (*shared, *at(rows, b))
        own, first_own, d_fed = at(d[0], b), at(d[1], b), flow.fed[b]
        for t in range(T - 1, -1, -1):
            asked, d_asked = run.asked[t, b], flow.asked[t, b]
            d_h, d_reads = flow.seen[t, b, :H], flow.seen[t, b, H:]
            add(d_reads, d_fed[H:])
            first = at(initial, 0) if run.start[t, b] else at(slots, (t, b))
            after, ours = at(slots, (t + 1, b)), at(kept, (t, b))
            by_type.reverse(sizes, asked, first, after, ours, d_reads, d_asked, own, *given)
            if run.start[t, b]:
                by_type.restart(sizes, own, first_own)
            add_product(d_asked, flow.w, d_h)
            lstm.reverse_row(t, b, order, gates, flow.seen, flow.fed, flow.c, flow.gates)
            multiply(flow.gates[t, b], flow.u, d_fed)
            if run.start[t, b]:
                add(flow.first_fed[b], d_fed)
                add(flow.first_c[b], flow.c[b])
                zero(d_fed[H:])
