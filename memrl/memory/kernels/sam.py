"""One step of SAM's memory, and its gradient (Rae et al. 2016, §3); see ``SAM._read``."""

from __future__ import annotations

from memrl.memory.kernels import sparse
from memrl.memory.kernels.attention import add_scaled, dot, zero, zero_rows
from memrl.memory.kernels.by_type import ROW_STEPS, RowSteps
from memrl.memory.kernels.compile import row


@row
def access_row(sizes, asked, before, after, kept, reads, memory, last_access, oldest):
    (R, K), W = before.weights.shape, sizes.word
    large = sparse.Large(memory, last_access, oldest)
    sparse.activate(sizes, asked, kept.interface)
    sparse.write(sizes, large, before, after, kept)
    sparse.look(sizes, large.memory, after.counts[2], kept)
    zero(reads)
    for h in range(R):
        for k in range(K):
            after.slots[h, k] = kept.near[h, k]
            after.weights[h, k] = kept.content[h, k]
            if kept.content[h, k] != 0:
                words = large.memory[kept.near[h, k]]
                add_scaled(reads[h * W : (h + 1) * W], kept.content[h, k], words)
    sparse.note(sizes, large, before, after, kept)


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d, memory):
    """The steps of ``access_row`` in reverse order; the writes to ``memory`` are undone."""
    (R, K), W = before.weights.shape, sizes.word
    d_memory, d_weights = d.memory, d.weights
    zero(d_asked)
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


@row
def forget(sizes, d, d_initial):
    """The weights before an episode are constants; the memory is that of the episode before."""
    zero_rows(d.weights)


ROW_STEPS[sparse.Sizes] = RowSteps(access_row, reverse_row, forget)
