"""One step of a DNC's memory, and its gradient (DNC, Methods); see `memrl.memory.ops.access`."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from memrl.memory.kernels import activations, attention, links
from memrl.memory.kernels.attention import (
    add_scaled,
    by_content,
    by_content_reverse,
    dot,
    measure,
)
from memrl.memory.kernels.by_type import ROW_STEPS, RowSteps
from memrl.memory.kernels.compile import Array, row
from memrl.memory.kernels.rows import Kernel, RowMemory


class Sizes(NamedTuple):
    """Where the parts of the interface vector begin, and typed constants; its keys begin at 0."""

    reads: int  # width of the reads, R W
    add: int
    modes: int
    strengths: int
    erase: int
    free: int
    allocation_gate: int
    write_gate: int
    end: int
    one: float
    clip: float
    eps: float  # of the similarity
    floor: float  # of the usage, in the allocation


class Slots(NamedTuple):
    """The state, or its gradient; [B, ...] each, and without B for a row."""

    memory: Array  # [N, W]
    usage: Array  # [N]
    link: Array  # [N, N]
    precedence: Array  # [N]
    written: Array  # [N]
    looked: Array  # [R, N]


class Kept(NamedTuple):
    """What a step keeps for its gradient; [B, ...] each, and without B for a row."""

    interface: Array  # [S]  after the activations
    lengths: Array  # [R + 1]  of the keys
    ranked: Array  # [N]  usage in ascending order
    order: Array  # int [N]  the slot of each rank
    product: Array  # [N]  of the usages before each rank
    allocation: Array  # [N]
    content: Array  # [R + 1, N]  weights by content
    cosine: Array  # [R + 1, N]
    norms: Array  # [2, N]  of the memory's rows, before and after the write
    along: Array  # [R, 2, N]  weights by links, backward and forward
    spare: Array  # [R + 4, N]  for the way back


@row
def forget(sizes, d, d_initial):
    """Nothing passes a start, and nothing of the initial state is learned."""
    attention.zero_rows(d.memory)
    attention.zero(d.usage)
    attention.zero_rows(d.link)
    attention.zero(d.precedence)
    attention.zero_rows(d.looked)


@row
def access_row(sizes, asked, before, after, kept, reads):
    """Write, then read the new memory."""
    R, (N, W) = len(before.looked), before.memory.shape
    y = kept.interface
    activate(sizes, asked, y)
    for h in range(R + 1):
        key = y[h * W : (h + 1) * W]
        kept.lengths[h] = math.sqrt(dot(key, key))
    add, erase = y[sizes.add : sizes.modes], y[sizes.erase : sizes.free]

    use(sizes.one, before, y[sizes.free : sizes.allocation_gate], after.usage)
    allocate(sizes, after.usage, kept)
    measure(before.memory, kept.norms[0])
    by_content(sizes, R, before.memory, kept.norms[0], kept)
    g_a, g_w, c = y[sizes.allocation_gate], y[sizes.write_gate], kept.content[R]
    w = after.written
    for i in range(N):
        w[i] = g_w * (c[i] + g_a * (kept.allocation[i] - c[i]))
    for i in range(N):
        for j in range(W):
            old = before.memory[i, j]
            after.memory[i, j] = old + w[i] * (add[j] - erase[j] * old)
    links.chain(before, after, w)

    measure(after.memory, kept.norms[1])
    for h in range(R):
        by_content(sizes, h, after.memory, kept.norms[1], kept)
        back, ahead = kept.along[h, 0], kept.along[h, 1]
        follow(after.link, before.looked[h], back, ahead)
        pi, r = y[sizes.modes + 3 * h :], after.looked[h]
        for i in range(N):
            r[i] = pi[0] * back[i] + pi[1] * kept.content[h, i] + pi[2] * ahead[i]
        attention.read(r, after.memory, reads[h * W : (h + 1) * W])


@row
def activate(sizes, asked, y):
    """Clip the interface vector; modes by softmax, β = 1 + softplus, gates by σ."""
    activations.clip(asked, sizes.clip, y)
    for j in range(sizes.modes, sizes.strengths, 3):
        attention.softmax(y[j : j + 3])
    activations.above_one(sizes.one, y[sizes.strengths : sizes.erase])
    activations.sigmoid(y[sizes.erase :])


@row
def use(one, before, free, u):
    """u_t = (u + w − u ∘ w) ∘ Π_r (1 − f_r w_r), rounded as in torch: slots are ranked by it."""
    for i in range(len(u)):
        w = before.written[i]
        u[i] = w + before.usage[i] * (one - w)
        for h in range(len(free)):
            u[i] *= one - free[h] * before.looked[h, i]


@row
def allocate(sizes, u, kept):
    """a[φ_k] = (1 − u[φ_k]) Π_{i<k} u[φ_i], with φ sorting by ascending usage."""
    ranked, order = kept.ranked, kept.order
    for i in range(len(u)):
        used, k = u[i] + sizes.floor * (sizes.one - u[i]), i
        while k > 0 and ranked[k - 1] > used:
            ranked[k], order[k] = ranked[k - 1], order[k - 1]
            k -= 1
        ranked[k], order[k] = used, i
    product = sizes.one
    for k in range(len(u)):
        kept.product[k] = product
        kept.allocation[order[k]] = product * (sizes.one - ranked[k])
        product *= ranked[k]


@row
def follow(link, looked, back, ahead):
    """The slots written right before and right after those last read: Lᵀ r and L r."""
    attention.zero(back)
    for i in range(len(looked)):
        ahead[i] = dot(link[i], looked)
        add_scaled(back, looked[i], link[i])


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d):
    """The steps of ``access_row`` in reverse order."""
    R, (N, W) = len(before.looked), before.memory.shape
    y, d_y = kept.interface, d_asked
    attention.zero(d_y)
    d_content, d_back, d_ahead, d_a = kept.spare[0], kept.spare[1], kept.spare[2], kept.spare[3]
    d_looked = kept.spare[4:]
    for h in range(R):
        d_r, pi, d_pi = d.looked[h], y[sizes.modes + 3 * h :], d_y[sizes.modes + 3 * h :]
        words = d_reads[h * W : (h + 1) * W]
        attention.read_reverse(words, after.looked[h], after.memory, d_r, d.memory)
        back, ahead = kept.along[h, 0], kept.along[h, 1]
        for i in range(N):
            d_pi[0] += d_r[i] * back[i]
            d_pi[1] += d_r[i] * kept.content[h, i]
            d_pi[2] += d_r[i] * ahead[i]
            d_back[i] = pi[0] * d_r[i]
            d_content[i] = pi[1] * d_r[i]
            d_ahead[i] = pi[2] * d_r[i]
        attention.softmax_reverse(d_pi[:3], pi[:3])
        by_content_reverse(sizes, h, d_content, after.memory, kept.norms[1], kept, d_y, d.memory)
        follow_reverse(after.link, before.looked[h], d_back, d_ahead, d.link, d_looked[h])
    links.chain_reverse(before, after.written, d, d.written)

    add, erase = slice(sizes.add, sizes.modes), slice(sizes.erase, sizes.free)
    write_reverse(before.memory, after.written, y[add], y[erase], d, d_y[add], d_y[erase])
    g_a, g_w, c = y[sizes.allocation_gate], y[sizes.write_gate], kept.content[R]
    a = kept.allocation
    for i in range(N):
        d_y[sizes.write_gate] += d.written[i] * (c[i] + g_a * (a[i] - c[i]))
        d_where = d.written[i] * g_w
        d_y[sizes.allocation_gate] += d_where * (a[i] - c[i])
        d_a[i] = d_where * g_a
        d_content[i] = d_where - d_a[i]
        d.written[i] = 0  # usage passes no gradient to the previous write weights
    by_content_reverse(sizes, R, d_content, before.memory, kept.norms[0], kept, d_y, d.memory)
    allocate_reverse(sizes, d_a, kept, d.usage)
    free = slice(sizes.free, sizes.allocation_gate)
    use_reverse(before, y[free], d.usage, d_y[free], d_looked)
    for h in range(R):
        attention.copy(d.looked[h], d_looked[h])
    activate_reverse(sizes, asked, y, d_y)


@row
def activate_reverse(sizes, asked, y, d):
    beta, gates = slice(sizes.strengths, sizes.erase), slice(sizes.erase, sizes.end)
    activations.above_one_reverse(sizes.one, y[beta], d[beta])
    activations.sigmoid_reverse(y[gates], d[gates])
    activations.clip_reverse(asked, sizes.clip, d)


@row
def use_reverse(before, free, d, d_free, d_looked):
    for i in range(len(d)):
        old, w = before.usage[i], before.written[i]
        for h in range(len(free) - 1, -1, -1):
            passed = old + w - old * w
            for k in range(h):
                passed -= passed * free[k] * before.looked[k, i]
            d_free[h] -= d[i] * passed * before.looked[h, i]
            d_looked[h, i] -= d[i] * passed * free[h]
            d[i] -= d[i] * free[h] * before.looked[h, i]
        d[i] -= d[i] * w


@row
def allocate_reverse(sizes, d, kept, d_u):
    later = d.dtype.type(0)
    for k in range(len(d) - 1, -1, -1):
        i = kept.order[k]
        own = d[i] * kept.product[k]
        d_used = later / kept.ranked[k] - own
        d_u[i] += d_used - sizes.floor * d_used
        later += own - own * kept.ranked[k]


@row
def write_reverse(memory, w, add, erase, d, d_add, d_erase):
    for i in range(len(w)):
        for j in range(len(add)):
            own, old = d.memory[i, j], memory[i, j]
            d.written[i] += own * (add[j] - erase[j] * old)
            d_add[j] += own * w[i]
            d_erase[j] -= own * w[i] * old
            d.memory[i, j] = own - own * w[i] * erase[j]


@row
def follow_reverse(link, looked, d_back, d_ahead, d_link, d_looked):
    attention.zero(d_looked)
    for i in range(len(looked)):
        d_looked[i] += dot(link[i], d_back)
        add_scaled(d_link[i], looked[i], d_back)
        add_scaled(d_link[i], d_ahead[i], looked)
        add_scaled(d_looked, d_ahead[i], link[i])


ROW_STEPS[Sizes] = RowSteps(access_row, reverse_row, forget)


@cache
def memory(
    dtype: str, slots: int, word_dim: int, read_heads: int, clip: float, eps: float, floor: float
) -> RowMemory:
    """A DNC's memory; its leaves are those of ``Slots``."""
    N, W, R = slots, word_dim, read_heads
    widths = [(R + 1) * W, W, 3 * R, R + 1, W, R, 1, 1]  # as ``interface_sizes``
    shapes = {
        "interface": (sum(widths),),
        "lengths": (R + 1,),
        "ranked": (N,),
        "order": (N,),
        "product": (N,),
        "allocation": (N,),
        "content": (R + 1, N),
        "cosine": (R + 1, N),
        "norms": (2, N),
        "along": (R, 2, N),
        "spare": (R + 4, N),
    }
    constants = map(np.dtype(dtype).type, (1, clip, eps, floor))
    sizes = Sizes(R * W, *np.cumsum(widths).tolist(), *constants)
    return RowMemory(Kernel(Slots, Kept, sizes, shapes))
