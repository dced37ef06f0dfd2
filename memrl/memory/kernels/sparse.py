"""What SAM and SDNC share, for one row: write a few words, find the nearest, note the accesses.

See `memrl.memory.parts.sparse_access`, the reference. The memory is edited in place; a step keeps
the words that it overwrites, and the way back restores them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from memrl.memory.kernels import activations
from memrl.memory.kernels.attention import (
    add_scaled,
    copy,
    dot,
    softmax,
    softmax_reverse,
    zero,
    zero_rows,
)
from memrl.memory.kernels.compile import Array, row


class Sizes(NamedTuple):
    """Widths, and typed constants."""

    word: int  # W
    head: int  # of one head's part of the interface vector: q, a, β, α, γ and the rest
    block: int  # slots whose oldest access is known together
    one: float
    clip: float
    eps: float  # of the similarity
    accessed: float  # δ


class Large(NamedTuple):
    """The leaves that are edited in place; [B, ...] each, and without B for a row."""

    memory: Array  # [N, W]
    last_access: Array  # int [N]
    oldest: Array  # int [G]


class Small(NamedTuple):
    """The other leaves; [B, ...] each, and without B for a row."""

    counts: Array  # int [3]  clock, used, written
    slots: Array  # int [R, K]
    weights: Array  # [R, K]


class Gradient(NamedTuple):
    """What flows back from step to step; [B, ...] each, and without B for a row."""

    memory: Array  # [N, W]
    weights: Array  # [R, K]


class Kept(NamedTuple):
    """What a step keeps for its gradient; [B, ...] each, and without B for a row."""

    interface: Array  # [R · P]  after the activations
    slot: Array  # int [1]  the least recently accessed one
    old: Array  # [R K + 1, W]  the words that are written, as they were
    near: Array  # int [R, K]  the slots found by content
    content: Array  # [R, K]  their weights, 0 where nothing was found
    cosine: Array  # [R, K]
    norms: Array  # [R, K]
    lengths: Array  # [R]  of the keys
    share: Array  # [2 R K + 1]  w^W, then w^R, of the slots of a step


@row
def activate(sizes, asked, y):
    """Clip the interface vector; β = 1 + softplus, gates by σ."""
    activations.clip(asked, sizes.clip, y)
    for h in range(2 * sizes.word, len(y), sizes.head):
        activations.above_one(sizes.one, y[h : h + 1])
        activations.sigmoid(y[h + 1 : h + 3])


@row
def activate_reverse(sizes, asked, y, d):
    for h in range(2 * sizes.word, len(y), sizes.head):
        activations.above_one_reverse(sizes.one, y[h : h + 1], d[h : h + 1])
        activations.sigmoid_reverse(y[h + 1 : h + 3], d[h + 1 : h + 3])
    activations.clip_reverse(asked, sizes.clip, d)


@row
def least_recent(sizes, large):
    """The least recently accessed slot; of several the lowest."""
    block = 0
    for g in range(len(large.oldest)):
        if large.oldest[g] < large.oldest[block]:
            block = g
    slot = block * sizes.block
    for i in range(slot, min(slot + sizes.block, len(large.last_access))):
        if large.last_access[i] < large.last_access[slot]:
            slot = i
    return slot


@row
def write(sizes, large, before, after, kept):
    """M_t = (1 − R_t) ∘ M_{t−1} + w^W aᵀ with w^W = α (γ w̃^R_{t−1} + (1 − γ) I^U)."""
    (R, K), (N, W), memory = before.weights.shape, large.memory.shape, large.memory
    used, written = before.counts[1], before.counts[2]
    slot = used if used < N else least_recent(sizes, large)
    kept.slot[0] = slot
    for h in range(R):
        for k in range(K):
            copy(kept.old[h * K + k], memory[before.slots[h, k]])
    copy(kept.old[R * K], memory[slot])
    keep, anew = sizes.one, sizes.one - sizes.one
    for h in range(R):
        gates = kept.interface[h * sizes.head + 2 * W + 1 :]
        alpha, gamma = gates[0], gates[1]
        keep -= keep * (alpha - alpha * gamma)
        anew += alpha - alpha * gamma
    kept.share[R * K] = anew
    for j in range(W):
        memory[slot, j] = memory[slot, j] * keep if slot < written else keep * 0
    for h in range(R):
        y = kept.interface[h * sizes.head :]
        alpha, gamma, add = y[2 * W + 1], y[2 * W + 2], y[W : 2 * W]
        for k in range(K):
            again = alpha * gamma * before.weights[h, k]
            kept.share[h * K + k] = again
            add_scaled(memory[before.slots[h, k]], again, add)
        add_scaled(memory[slot], alpha - alpha * gamma, add)
    after.counts[2] = max(written, slot + 1)


@row
def look(sizes, memory, count, kept):
    """The K words nearest to each key, of the first ``count``; softmax of β cos over them."""
    (R, K), W = kept.near.shape, sizes.word
    zero_rows(kept.cosine)
    zero_rows(kept.content)
    zero_rows(kept.norms)
    zero_rows(kept.near)
    for h in range(R):
        y = kept.interface[h * sizes.head :]
        kept.lengths[h] = math.sqrt(dot(y[:W], y[:W]))
    for i in range(count):
        norm = math.sqrt(dot(memory[i], memory[i]))
        for h in range(R):
            key = kept.interface[h * sizes.head : h * sizes.head + W]
            cosine = dot(memory[i], key) / (kept.lengths[h] * norm + sizes.eps)
            k = min(i, K)
            while k > 0 and (cosine > kept.cosine[h, k - 1]):
                if k < K:
                    kept.cosine[h, k] = kept.cosine[h, k - 1]
                    kept.near[h, k] = kept.near[h, k - 1]
                    kept.norms[h, k] = kept.norms[h, k - 1]
                k -= 1
            if k < K:
                kept.cosine[h, k] = cosine
                kept.near[h, k] = i
                kept.norms[h, k] = norm
    found = min(count, K)
    for h in range(R):
        beta, weights = kept.interface[h * sizes.head + 2 * W], kept.content[h, :found]
        for k in range(found):
            weights[k] = beta * kept.cosine[h, k]
        softmax(weights)


@row
def read(sizes, memory, after, reads):
    """Each head's r = Σ w̃^R(s) M(s)."""
    W = sizes.word
    zero(reads)
    for h in range(len(after.slots)):
        for k in range(len(after.slots[h])):
            if after.weights[h, k] != 0:
                words = memory[after.slots[h, k]]
                add_scaled(reads[h * W : (h + 1) * W], after.weights[h, k], words)


@row
def read_reverse(sizes, memory, after, d, d_weights, d_memory):
    W = sizes.word
    for h in range(len(after.slots)):
        words = d[h * W : (h + 1) * W]
        for k in range(len(after.slots[h])):
            if after.weights[h, k] != 0:
                slot = after.slots[h, k]
                d_weights[h, k] += dot(words, memory[slot])
                add_scaled(d_memory[slot], after.weights[h, k], words)


@row
def note(sizes, large, before, after, kept):
    """Which slots were accessed, and when: U_t = t − max{t' : w^W_{t'} + w^R_{t'} > δ}."""
    (R, K), N = before.weights.shape, len(large.last_access)
    clock, used = before.counts[0], before.counts[1]
    for h in range(R):
        for k in range(K):
            kept.share[R * K + 1 + h * K + k] = after.weights[h, k]
    after.counts[0], after.counts[1] = clock + 1, used
    for entry in range(2 * R * K + 1):
        slot = slot_of(entry, before, after, kept)
        total = sizes.one - sizes.one
        for other in range(2 * R * K + 1):
            if slot_of(other, before, after, kept) == slot:
                total += kept.share[other]
        if total > sizes.accessed:
            large.last_access[slot] = clock
            first = slot // sizes.block * sizes.block
            oldest = large.last_access[first]
            for i in range(first, min(first + sizes.block, N)):
                oldest = min(oldest, large.last_access[i])
            large.oldest[slot // sizes.block] = oldest
            if slot == used:
                after.counts[1] = used + 1


@row
def slot_of(entry, before, after, kept):
    """The slot of an entry of ``Kept.share``."""
    R, K = before.weights.shape
    if entry < R * K:
        return before.slots[entry // K, entry % K]
    if entry == R * K:
        return kept.slot[0]
    entry -= R * K + 1
    return after.slots[entry // K, entry % K]


@row
def look_reverse(sizes, memory, kept, d, d_asked, d_memory):
    """``d``: of the weights by content [R, K]."""
    (R, K), W = d.shape, sizes.word
    for h in range(R):
        y, d_y = kept.interface[h * sizes.head :], d_asked[h * sizes.head :]
        key, d_key, beta = y[:W], d_y[:W], y[2 * W]
        softmax_reverse(d[h], kept.content[h])
        d_length = sizes.one - sizes.one
        for k in range(K):
            slot, norm = kept.near[h, k], kept.norms[h, k]
            d_y[2 * W] += d[h, k] * kept.cosine[h, k]
            product = d[h, k] * beta / (kept.lengths[h] * norm + sizes.eps)
            d_norms = product * kept.cosine[h, k]
            d_length -= d_norms * norm
            if kept.content[h, k] != 0:
                add_scaled(d_key, product, memory[slot])
                add_scaled(d_memory[slot], product, key)
                if norm != 0:
                    add_scaled(d_memory[slot], -kept.lengths[h] * d_norms / norm, memory[slot])
        if kept.lengths[h] != 0:
            add_scaled(d_key, d_length / kept.lengths[h], key)


@row
def write_reverse(sizes, memory, before, kept, d_asked, d_memory, d_weights):
    """Undoes the write; ``d_weights`` becomes that of the last weights."""
    (R, K), W, slot = before.weights.shape, sizes.word, kept.slot[0]
    there = slot < before.counts[2]
    d_keep = dot(d_memory[slot], kept.old[R * K]) if there else sizes.one - sizes.one
    keep = sizes.one
    for h in range(R):
        y, d_y = kept.interface[h * sizes.head :], d_asked[h * sizes.head :]
        alpha, gamma, add, d_add = y[2 * W + 1], y[2 * W + 2], y[W : 2 * W], d_y[W : 2 * W]
        d_again = sizes.one - sizes.one  # of α γ
        for k in range(K):
            other = before.slots[h, k]
            d_share = dot(d_memory[other], add)
            add_scaled(d_add, kept.share[h * K + k], d_memory[other])
            d_again += d_share * before.weights[h, k]
            d_weights[h, k] = d_share * alpha * gamma
        d_anew = dot(d_memory[slot], add)  # of α (1 − γ)
        add_scaled(d_add, alpha - alpha * gamma, d_memory[slot])
        others = sizes.one
        for k in range(R):
            if k != h:
                gates = kept.interface[k * sizes.head + 2 * W + 1 :]
                a, g = gates[0], gates[1]
                others -= others * (a - a * g)
        d_anew -= d_keep * others
        keep -= keep * (alpha - alpha * gamma)
        d_y[2 * W + 1] += d_again * gamma + d_anew - d_anew * gamma
        d_y[2 * W + 2] += d_again * alpha - d_anew * alpha
    for j in range(W):
        d_memory[slot, j] = d_memory[slot, j] * keep if there else keep * 0
    for h in range(R):
        for k in range(K):
            copy(memory[before.slots[h, k]], kept.old[h * K + k])
    copy(memory[slot], kept.old[R * K])
