"""Sparse temporal links, for one row: the order of writes, with a few partners for each slot.

See `memrl.memory.ops.sparse_linkage`, the reference. Nothing here has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

from memrl.memory.kernels.attention import zero
from memrl.memory.kernels.compile import Array, row


class Entries(NamedTuple):
    """Slots and their weights; an entry of weight 0 does not exist."""

    slots: Array  # int [..., L]
    weights: Array  # [..., L]


@row
def largest(given, chosen):
    """The slots with the largest weights, as many as ``chosen`` has entries.

    Weights of a repeated slot are added, in ``given``.
    """
    count, found = len(chosen.slots), 0
    zero(chosen.slots)
    zero(chosen.weights)
    for i in range(len(given.slots)):
        slot, total = given.slots[i], given.weights[i]
        if total <= 0:
            continue
        for j in range(i + 1, len(given.slots)):
            if given.slots[j] == slot:
                total += given.weights[j]
                given.weights[j] = 0
        k = found
        while k > 0 and total > chosen.weights[k - 1]:
            if k < count:
                chosen.slots[k] = chosen.slots[k - 1]
                chosen.weights[k] = chosen.weights[k - 1]
            k -= 1
        if k < count:
            chosen.slots[k], chosen.weights[k] = slot, total
            found = min(found + 1, count)


@row
def merge(old, rest, added, share, slot, spare):
    """The row ``old`` of a slot becomes rest · old + share · added; no slot is its own partner."""
    L, A = len(old.slots), len(added.slots)
    for i in range(L):
        spare.slots[i], spare.weights[i] = old.slots[i], rest * old.weights[i]
    for i in range(A):
        spare.slots[L + i], spare.weights[L + i] = added.slots[i], share * added.weights[i]
        if added.slots[i] == slot:
            spare.weights[L + i] = 0
    largest(Entries(spare.slots[: L + A], spare.weights[: L + A]), old)


@row
def append(one, links, into, partners, spare):
    """Row i of the links becomes (1 − w(i)) times itself plus w(i) times the partners, in place."""
    for a in range(len(into.slots)):
        slot, share, named = into.slots[a], one - one, False
        for i in range(len(into.slots)):
            if into.slots[i] == slot:
                share += into.weights[i]
                named = named or i < a
        if share != 0 and not named:
            old = Entries(links.slots[slot], links.weights[slot])
            merge(old, one - share, partners, share, slot, spare)


@row
def clear(links, slot):
    zero(links.slots[slot])
    zero(links.weights[slot])


@row
def update(one, earlier, later, written, before, after, spare):
    """Edit the links after a write, in place, then the precedence p from ``before`` to ``after``.

    N(i, ·) = (1 − w(i)) N(i, ·) + w(i) p and P(j, ·) = (1 − p(j)) P(j, ·) + p(j) w, then
    p = (1 − Σ w) p + w; each row keeps its largest entries. ``earlier`` is N and ``later`` P.
    """
    append(one, earlier, written, before, spare)
    append(one, later, before, written, spare)
    rest = one
    for weight in written.weights:
        rest -= weight
    for i in range(len(before.slots)):
        after.slots[i], after.weights[i] = before.slots[i], before.weights[i]
    merge(after, max(rest, one - one), written, one, -1, spare)
