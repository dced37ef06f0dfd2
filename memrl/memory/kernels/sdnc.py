"""One step of an SDNC's memory, and its gradient (Rae et al. 2016, appendix D); see ``SDNC._read``.

No gradient passes through links and precedence: the way back needs those links that were followed.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from memrl.memory.kernels import sparse, sparse_links
from memrl.memory.kernels.attention import add_rows, softmax, softmax_reverse, zero
from memrl.memory.kernels.by_type import ROW_STEPS, RowSteps
from memrl.memory.kernels.compile import Array, row
from memrl.memory.kernels.sam import forget
from memrl.memory.kernels.sparse_links import Entries
from memrl.memory.kernels.sparse_rows import SparseKernel, SparseRows, Widths, shapes


class Sizes(NamedTuple):
    """As ``sparse.Sizes``, and one more."""

    word: int
    head: int
    block: int
    one: float
    clip: float
    eps: float
    accessed: float
    heads: float  # R


class Small(NamedTuple):
    """As ``sparse.Small``, and the precedence: the slots written last, and their weights."""

    counts: Array
    slots: Array
    weights: Array
    last: Array  # int [L]
    precedence: Array  # [L]


class Kept(NamedTuple):
    """As ``sparse.Kept``, and what a head mixes: C = 2 K L + K entries."""

    interface: Array
    slot: Array
    old: Array
    near: Array
    content: Array
    cosine: Array
    norms: Array
    lengths: Array
    share: Array
    links: Array  # [R, 2, K L]  that were followed, backward and forward
    entry: Array  # int [≥ R C]  slots: of each head backward, by content, forward
    mixed: Array  # [≥ R C]  their weights; like ``entry`` first for the links
    spare: Array  # [2, R, K]  for the way back


@row
def access_row(sizes, asked, before, after, kept, reads, memory, a, b, c, d, last_access, oldest):
    """``a`` and ``b`` are slots and weights of the links N, ``c`` and ``d`` those of P."""
    (R, _), begin = before.weights.shape, 2 * sizes.word + 3
    large, earlier, later = sparse.Large(memory, last_access, oldest), Entries(a, b), Entries(c, d)
    sparse.activate(sizes, asked, kept.interface)
    for h in range(R):
        softmax(kept.interface[h * sizes.head + begin : (h + 1) * sizes.head])
    sparse.write(sizes, large, before, after, kept)
    if kept.slot[0] >= before.counts[2]:
        sparse_links.clear(earlier, kept.slot[0])
        sparse_links.clear(later, kept.slot[0])
    chain(sizes, earlier, later, before, after, kept)
    sparse.look(sizes, memory, after.counts[2], kept)
    for h in range(R):
        mix(h, earlier, later, before, after, kept, kept.interface[h * sizes.head + begin :])
    sparse.read(sizes, memory, after, reads)
    sparse.note(sizes, large, before, after, kept)


@row
def chain(sizes, earlier, later, before, after, kept):
    """The links and the precedence after the write, with the mean of the heads' weights."""
    count = before.weights.size + 1
    written, spare = Entries(kept.entry[:count], kept.mixed[:count]), count
    for i in range(count):
        written.slots[i] = sparse.slot_of(i, before, after, kept)
        written.weights[i] = kept.share[i] / sizes.heads
    p, new = Entries(before.last, before.precedence), Entries(after.last, after.precedence)
    room = Entries(kept.entry[spare:], kept.mixed[spare:])
    sparse_links.update(sizes.one, earlier, later, written, p, new, room)


@row
def mix(h, earlier, later, before, after, kept, pi):
    """w̃^R_t = the K largest of π_1 b + π_2 c + π_3 f, b = N_tᵀ w̃^R_{t−1} and f = P_tᵀ w̃^R_{t−1}."""
    K, KL = before.weights.shape[1], kept.links.shape[2]
    begin, end = h * (2 * KL + K), (h + 1) * (2 * KL + K)
    slots, weights = kept.entry[begin:end], kept.mixed[begin:end]
    looked = Entries(before.slots[h], before.weights[h])
    follow(earlier, pi[0], looked, kept.links[h, 0], slots[:KL], weights[:KL])
    for k in range(K):
        slots[KL + k], weights[KL + k] = kept.near[h, k], pi[1] * kept.content[h, k]
    follow(later, pi[2], looked, kept.links[h, 1], slots[KL + K :], weights[KL + K :])
    sparse_links.largest(Entries(slots, weights), Entries(after.slots[h], after.weights[h]))


@row
def follow(links, share, looked, followed, slots, weights):
    """The partners of the slots read last, and ``share`` of their weights."""
    L = links.slots.shape[1]
    for k in range(len(looked.slots)):
        slot, scale = looked.slots[k], share * looked.weights[k]
        for i in range(L):
            followed[k * L + i] = links.weights[slot, i]
            slots[k * L + i], weights[k * L + i] = links.slots[slot, i], scale * followed[k * L + i]


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d, memory):
    """The steps of ``access_row`` in reverse order; the writes to ``memory`` are undone."""
    zero(d_asked)
    sparse.read_reverse(sizes, memory, after, d_reads, d.weights, d.memory)
    d_content, d_looked, y = kept.spare[0], kept.spare[1], kept.interface
    for h in range(len(d_content)):
        modes = slice(h * sizes.head + 2 * sizes.word + 3, (h + 1) * sizes.head)
        chosen = Entries(after.slots[h], after.weights[h])
        mix_reverse(
            h, chosen, before.weights[h], kept, d.weights[h],
            y[modes], d_asked[modes], d_content[h], d_looked[h],
        )  # fmt: skip
    sparse.look_reverse(sizes, memory, kept, d_content, d_asked, d.memory)
    sparse.write_reverse(sizes, memory, before, kept, d_asked, d.memory, d.weights)
    add_rows(d.weights, d_looked)
    sparse.activate_reverse(sizes, asked, y, d_asked)


@row
def mix_reverse(h, chosen, looked, kept, d, pi, d_pi, d_content, d_looked):
    """From the gradient ``d`` of the chosen weights to that of what was mixed."""
    K, KL = len(looked), kept.links.shape[2]
    entry = kept.entry[h * (2 * KL + K) :]
    zero(d_looked)
    for way in range(2):
        slots, links, mode = entry[way * (KL + K) :], kept.links[h, way], 2 * way
        for i in range(KL):
            if links[i] != 0:
                k, passed = i // (KL // K), links[i] * gradient_of(slots[i], chosen, d)
                d_pi[mode] += passed * looked[k]
                d_looked[k] += passed * pi[mode]
    for k in range(K):
        passed = gradient_of(entry[KL + k], chosen, d)
        d_pi[1] += passed * kept.content[h, k]
        d_content[k] = passed * pi[1]
    softmax_reverse(d_pi, pi)


@row
def gradient_of(slot, chosen, d):
    """The gradient of a slot's weight; 0 if it was not chosen."""
    for k in range(len(d)):
        if chosen.slots[k] == slot and chosen.weights[k] > 0:
            return d[k]
    return d.dtype.type(0)


ROW_STEPS[Sizes] = RowSteps(access_row, reverse_row, forget)


@cache
def memory(
    dtype: str, widths: tuple[int, ...], clip: float, eps: float, accessed: float
) -> SparseRows:
    """An SDNC's memory; see ``Widths``."""
    W, R, K, head, block, L = widths
    small, kept = shapes(Widths(*widths))
    small |= {"last": (L,), "precedence": (L,)}
    entries = max(R * (2 * K * L + K), 2 * (R * K + 1) + L, R * K + 1 + 2 * L)
    kept |= {"links": (R, 2, K * L), "entry": (entries,), "mixed": (entries,), "spare": (2, R, K)}
    sizes = Sizes(W, head, block, *map(np.dtype(dtype).type, (1, clip, eps, accessed, R)))
    return SparseRows(SparseKernel(Small, Kept, sizes, small, kept), dtype)
