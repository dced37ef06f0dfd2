"""A MemNN over a sequence, row by row: O and G of all steps, and their gradients.

See `memrl.memory.memnn`. U_O meets x and the supports in two products of which the first, for all
steps at once, is the caller's: a hop asks a = xᵀ U_Oᵀ U_O, plus (o_1 + …)ᵀ U_Oᵀ U_O from the second
hop on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from memrl.memory.kernels.attention import add_scaled, copy, dot, softmax_reverse, zero
from memrl.memory.kernels.by_type import at
from memrl.memory.kernels.compile import Array, loop, row
from memrl.memory.kernels.products import add_product
from memrl.memory.kernels.reading import attend
from memrl.memory.kernels.writing import clear, fade, write, write_reverse


class Sizes(NamedTuple):
    """The rules, and typed constants."""

    rule: int  # of G, in `writing.RULES`
    best: int  # memories that a hop reads
    straight: bool  # read the best as they are, with the gradient of a softmax
    zero: float
    half: float
    one: float
    least: float  # of an importance in a score; 0: it enters none
    likeness: float
    usage_decay: float


class Input(NamedTuple):
    """What depends on the input alone, or its gradient, [T, B, ...]."""

    word: Array  # [W]
    importance: Array
    asked: Array  # [W + 1]  a of the first hop; its gradient is [K, W + 1], of each hop


class Shared(NamedTuple):
    """What all rows share."""

    onward: Array  # [W, W + 1]  U_Oᵀ U_O of a support; turned for the way back
    powers: Array  # [T + 1]  of keep


class Kept(NamedTuple):
    """What a step keeps for its gradient, [T, B, ...]."""

    entry: Array  # [N]  before the write
    when: Array  # [N]  log(1 + age)
    asks: Array  # [K, W + 1]
    supports: Array  # [K, W]  found before a hop
    weights: Array  # [K, N]  the softmax
    slot: Array  # that was written
    gate: Array  # g


class Last(NamedTuple):
    """After the last step, or its gradient, [B, ...]."""

    memory: Array  # [N, W]
    importance: Array  # [N]


class Room(NamedTuple):
    """Of a row, on its way back."""

    supports: Array  # [W]
    scores: Array  # [N]


@loop
def sequence(begin, end, sizes, start, given, p, slots, words, kept, looks, supports, last):
    """All steps of some rows, to the supports of each step.

    ``looks`` [B, K, N]: the weights that read in the last step. ``last`` may be what was first.
    """
    for b in range(begin, end):
        own, listed = at(slots, b), at(words, b)
        for t in range(len(start)):
            if start[t, b]:
                clear(own)
            here, x = at(kept, (t, b)), at(given, (t, b))
            look(sizes, t, x.asked, p, own, listed, here, looks[b], supports[t, b])
            kept.slot[t, b], kept.gate[t, b] = write(
                sizes, p.powers, t, x.word, x.importance, own, listed, looks[b]
            )
        for i in range(len(own.entry)):
            entry = own.entry[i]
            left = fade(p.powers, len(start), entry, len(own.entry))
            copy_scaled(last.memory[b, i], left, listed.word[entry])
            last.importance[b, i] = listed.importance[entry]


@row
def copy_scaled(x, scale, y):
    for i in range(len(x)):
        x[i] = scale * y[i]


@row
def look(sizes, t, asked, p, slots, words, kept, looks, supports):
    """O: the sum of what the hops read."""
    N = len(slots.entry)
    for i in range(N):
        kept.entry[i] = slots.entry[i]
        kept.when[i] = math.log1p(slots.age[i]) if slots.filled[i] > 0 else sizes.zero
    zero(supports)
    for j in range(len(looks)):
        asks = kept.asks[j]
        copy(kept.supports[j], supports)
        copy(asks, asked)
        if j > 0:
            add_product(supports, p.onward, asks)
        score(sizes, t, asks, p.powers, slots, words, kept.when, kept.weights[j])
        attend(sizes.best, sizes.straight, slots.filled, kept.weights[j], looks[j])
        for i in range(N):
            if looks[j, i] != 0:
                entry = slots.entry[i]
                left = looks[j, i] * fade(p.powers, t, entry, N)
                add_scaled(supports, left, words.word[entry])


@row
def score(sizes, t, asks, powers, slots, words, when, scores):
    """s_O of filled slots."""
    W = len(asks) - 1
    for i in range(len(scores)):
        if slots.filled[i] > 0:
            entry = slots.entry[i]
            alike = dot(asks[:W], words.word[entry]) * fade(powers, t, entry, len(scores))
            scores[i] = alike + when[i] * asks[W]
            if sizes.least > 0:
                scores[i] += math.log(max(words.importance[entry], sizes.least))


@loop
def sequence_reverse(begin, end, sizes, p, slots, words, kept, room, d_supports, d_last, flow, d):
    """The gradients of all steps; ``d`` is that of ``words``, ``flow`` of ``given``."""
    T = len(d_supports)
    for b in range(begin, end):
        own, listed, mine, back = at(slots, b), at(words, b), at(room, b), at(d, b)
        for i in range(len(own.entry)):
            entry = own.entry[i]
            left = fade(p.powers, T, entry, len(own.entry))
            add_scaled(back.word[entry], left, d_last.memory[b, i])
            back.importance[entry] += d_last.importance[b, i]
        for t in range(T - 1, -1, -1):
            here, to = at(kept, (t, b)), at(flow, (t, b))
            flow.importance[t, b] = write_reverse(
                sizes, p.powers, t, here.entry, here.slot, here.gate, back, to.word
            )
            copy(mine.supports, d_supports[t, b])
            look_reverse(sizes, t, p, listed, here, mine, to.asked, back)


@row
def look_reverse(sizes, t, p, words, kept, d, d_asks, d_words):
    """The hops in reverse order; ``d.supports`` is the gradient of what they found."""
    for j in range(len(d_asks) - 1, -1, -1):
        weights, asks = kept.weights[j], kept.asks[j]
        for i in range(len(weights)):
            d.scores[i] = 0
            if weights[i] != 0:
                entry = kept.entry[i]
                left = fade(p.powers, t, entry, len(weights))
                d.scores[i] = left * dot(d.supports, words.word[entry])
        softmax_reverse(d.scores, weights)
        zero(d_asks[j])
        score_reverse(sizes, t, p.powers, words, kept, weights, asks, d, d_asks[j], d_words)
        if j > 0:
            add_product(d_asks[j], p.onward, d.supports)


@row
def score_reverse(sizes, t, powers, words, kept, weights, asks, d, d_asks, d_words):
    """To what a hop asked, and to the memories: by their scores, and as what was read."""
    W = len(asks) - 1
    for i in range(len(weights)):
        if weights[i] != 0:
            entry, d_score = kept.entry[i], d.scores[i]
            left = fade(powers, t, entry, len(weights))
            through, weight = left * d_score, left * weights[i]
            memory, d_memory = words.word[entry], d_words.word[entry]
            read_reverse(through, asks, weight, d.supports, memory, d_asks, d_memory)
            d_asks[W] += d_score * kept.when[i]
            importance = words.importance[entry]
            if 0 < sizes.least <= importance:
                d_words.importance[entry] += d_score / importance


@row
def read_reverse(d_score, asks, weight, d_supports, memory, d_asks, d_memory):
    for k in range(len(memory)):
        d_asks[k] += d_score * memory[k]
        d_memory[k] += d_score * asks[k] + weight * d_supports[k]
