"""Which slot takes a word, and what that leaves, for one row; see `memrl.memory.ops.writing`.

No memory is copied from step to step. A sequence has a list of words: first those that the N slots
held before it, then the word of each step, last an empty one. A slot holds one entry of the list;
while words fade, its memory is the entry times keepⁿ, n steps after it was written.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from memrl.memory.kernels.attention import add, add_scaled, copy, dot, zero
from memrl.memory.kernels.compile import Array, row

RULES: Final = ("append", "oldest", "least_used", "merge")  # "gated" writes to all slots
APPEND, OLDEST, LEAST_USED, MERGE = range(4)
EMPTY: Final = -1  # the last entry
EPS: Final = 1e-8  # least length of a vector in a cosine


class Slots(NamedTuple):
    """The slots now, [B, N] each."""

    entry: Array  # the word that a slot holds
    age: Array
    usage: Array
    filled: Array


class Words(NamedTuple):
    """The list of words, or its gradient, [B, N + T + 1, ...]."""

    word: Array  # [W]
    importance: Array


@row
def fade(powers, now, entry, slots):
    """What is left of a word before the step ``now``; ``powers`` are those of keep.

    Of the empty word it may be anything.
    """
    return powers[now - max(entry - slots + 1, 0)]


@row
def clear(slots):
    """Where an episode starts."""
    for i in range(len(slots.entry)):
        slots.entry[i] = EMPTY
    zero(slots.age)
    zero(slots.usage)
    zero(slots.filled)


@row
def write(sizes, powers, t, word, importance, slots, words, looks):
    """Store the word of step t; returns its slot and g, the share of the slot that it replaces."""
    N = len(slots.entry)
    slot, gate = choose(sizes, powers, t + 1, word, slots, words)
    keep, old, new = sizes.one - gate, slots.entry[slot], N + t
    for i in range(N):
        slots.age[i] += sizes.one
        slots.usage[i] *= sizes.usage_decay
    for j in range(len(looks)):
        add(slots.usage, looks[j])
    if gate > 0:
        copy(words.word[new], word)
        words.importance[new] = importance
        if keep > 0:
            left = keep * fade(powers, t + 1, old, N)
            mix(words.word[new], gate, left, words.word[old])
            words.importance[new] = gate * importance + keep * words.importance[old]
        slots.age[slot] *= keep
        slots.usage[slot] = gate + keep * slots.usage[slot]
        slots.entry[slot], slots.filled[slot] = new, sizes.one
    return slot, gate


@row
def mix(x, a, b, y):
    """Replace x by a x + b y."""
    for i in range(len(x)):
        x[i] = a * x[i] + b * y[i]


@row
def write_reverse(sizes, powers, t, entry, slot, gate, d, d_word):
    """From the list's gradient ``d`` to those of a step's word and, returned, its importance.

    ``entry``: what the slots held before the step.
    """
    N = len(entry)
    keep, old, new = sizes.one - gate, entry[slot], N + t
    zero(d_word)
    add_scaled(d_word, gate, d.word[new])
    if keep > 0 and gate > 0:
        add_scaled(d.word[old], keep * fade(powers, t + 1, old, N), d.word[new])
        d.importance[old] += keep * d.importance[new]
    return gate * d.importance[new]


@row
def choose(sizes, powers, now, word, slots, words):
    """The slot and g; of equal slots the lower."""
    if sizes.rule == MERGE:
        slot, cosine = most_alike(powers, now, word, slots, words)
        if cosine >= sizes.likeness:
            return slot, sizes.half
    for i in range(len(slots.filled)):
        if not slots.filled[i] > 0:
            return i, sizes.one
    if sizes.rule == APPEND:
        return 0, sizes.zero
    return most_urgent(sizes, slots, words), sizes.one


@row
def most_alike(powers, now, word, slots, words):
    """The filled slot whose memory has the largest cosine with the word, and that; or -2."""
    eps, best, top = word.dtype.type(EPS), 0, word.dtype.type(-2)
    length = max(math.sqrt(dot(word, word)), eps)
    for i in range(len(slots.entry)):
        if slots.filled[i] > 0:
            entry = slots.entry[i]
            memory, left = words.word[entry], fade(powers, now, entry, len(slots.entry))
            lengths = length * max(left * math.sqrt(dot(memory, memory)), eps)
            cosine = left * dot(word, memory) / lengths
            if cosine > top or math.isnan(cosine):
                best, top = i, cosine
    return best, top


@row
def most_urgent(sizes, slots, words):
    """The oldest or the least used slot; importance protects it."""
    best, top = 0, -sizes.one
    for i in range(len(slots.entry)):
        urge = sizes.one - words.importance[slots.entry[i]]
        if sizes.rule == LEAST_USED:
            urge /= sizes.one + slots.usage[i]
        else:
            urge *= slots.age[i] + sizes.one
        if urge > top:
            best, top = i, urge
    return best
