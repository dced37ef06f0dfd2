"""One step of SAM's memory, and its gradient (Rae et al. 2016, §3); see ``SAM._read``."""

from __future__ import annotations

import numba

from memrl.memory.kernels import sparse
from memrl.memory.kernels.attention import add_scaled, dot
from memrl.memory.kernels.compile import over_rows, row


@over_rows
def access(sizes, start, asked, large, before, initial, after, kept, reads):
    """One step of all rows, in place; where ``start``, from the ``initial`` small leaves."""
    for b in numba.prange(len(start)):
        first = sparse.small_of(initial, 0) if start[b] else sparse.small_of(before, b)
        access_row(
            sizes,
            asked[b],
            sparse.large_of(large, b),
            first,
            sparse.small_of(after, b),
            sparse.kept_of(kept, b),
            reads[b],
        )


@over_rows
def reverse(
    sizes, start, asked, memory, before, initial, after, kept, d_reads, d_asked, d_memory, d_weights
):
    """From the gradients after the step to those before it, in place; undoes the step's writes."""
    for b in numba.prange(len(start)):
        first = sparse.small_of(initial, 0) if start[b] else sparse.small_of(before, b)
        reverse_row(
            sizes,
            asked[b],
            memory[b],
            first,
            sparse.kept_of(kept, b),
            d_reads[b],
            d_asked[b],
            d_memory[b],
            d_weights[b],
            start[b],
        )


@row
def access_row(sizes, asked, large, before, after, kept, reads):
    (R, K), W = before.weights.shape, sizes.word
    sparse.activate(sizes, asked, kept.interface)
    sparse.write(sizes, large, before, after, kept)
    sparse.look(sizes, large.memory, after.counts[2], kept)
    reads[:] = 0
    for h in range(R):
        for k in range(K):
            after.slots[h, k] = kept.near[h, k]
            after.weights[h, k] = kept.content[h, k]
            if kept.content[h, k] != 0:
                words = large.memory[kept.near[h, k]]
                add_scaled(reads[h * W : (h + 1) * W], kept.content[h, k], words)
    sparse.note(sizes, large, before, after, kept)


@row
def reverse_row(sizes, asked, memory, before, kept, d_reads, d_asked, d_memory, d_weights, start):
    (R, K), W = before.weights.shape, sizes.word
    d_asked[:] = 0
    for h in range(R):
        words = d_reads[h * W : (h + 1) * W]
        for k in range(K):
            if kept.content[h, k] != 0:
                slot = kept.near[h, k]
                d_weights[h, k] += dot(words, memory[slot])
                add_scaled(d_memory[slot], kept.content[h, k], words)
    sparse.look_reverse(sizes, memory, kept, d_weights, d_asked, d_memory)
    sparse.write_reverse(sizes, memory, before, kept, d_asked, d_memory, d_weights)
    sparse.activate_reverse(sizes, asked, kept.interface, d_asked)
    if start:
        d_weights[:] = 0
