"""One step of SAM's memory, and its gradient (Rae et al. 2016, §3); see ``SAM._read``."""

from __future__ import annotations

from functools import cache

import numpy as np

from memrl.memory.kernels import sparse
from memrl.memory.kernels.attention import copy, zero, zero_rows
from memrl.memory.kernels.by_type import ROW_STEPS, RowSteps
from memrl.memory.kernels.compile import row
from memrl.memory.kernels.sparse_rows import SparseKernel, SparseRows, Widths, shapes


@row
def access_row(sizes, asked, before, after, kept, reads, memory, last_access, oldest):
    large = sparse.Large(memory, last_access, oldest)
    sparse.activate(sizes, asked, kept.interface)
    sparse.write(sizes, large, before, after, kept)
    sparse.look(sizes, large.memory, after.counts[2], kept)
    for h in range(len(kept.near)):
        copy(after.slots[h], kept.near[h])
        copy(after.weights[h], kept.content[h])
    sparse.read(sizes, memory, after, reads)
    sparse.note(sizes, large, before, after, kept)


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d, memory):
    """The steps of ``access_row`` in reverse order; the writes to ``memory`` are undone."""
    zero(d_asked)
    sparse.read_reverse(sizes, memory, after, d_reads, d.weights, d.memory)
    sparse.look_reverse(sizes, memory, kept, d.weights, d_asked, d.memory)
    sparse.write_reverse(sizes, memory, before, kept, d_asked, d.memory, d.weights)
    sparse.activate_reverse(sizes, asked, kept.interface, d_asked)


@row
def forget(sizes, d, d_initial):
    """The weights before an episode are constants; the memory is that of the episode before."""
    zero_rows(d.weights)


ROW_STEPS[sparse.Sizes] = RowSteps(access_row, reverse_row, forget)


@cache
def memory(dtype: str, widths: tuple[int, ...], *constants: float) -> SparseRows:
    """A SAM's memory; see ``Widths``. ``constants``: clip, eps, δ of an access."""
    W, _, _, head, block, _ = widths
    sizes = sparse.Sizes(W, head, block, *map(np.dtype(dtype).type, (1, *constants)))
    kernel = SparseKernel(sparse.Small, sparse.Kept, sizes, *shapes(Widths(*widths)))
    return SparseRows(kernel, dtype)
