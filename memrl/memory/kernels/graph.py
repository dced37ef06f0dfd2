"""One step of the graph memory, and its gradient; see ``GraphMemory._update``."""

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
from memrl.memory.kernels.elementary import tanh
from memrl.memory.kernels.rows import Kernel, RowMemory


class Sizes(NamedTuple):
    """Where the parts of the interface vector begin, and typed constants; its keys begin at 0."""

    reads: int  # width of the reads, R W
    word: int
    strengths: int
    gates: int
    end: int
    one: float
    clip: float
    decay: float
    eps: float  # of the similarity


class Slots(NamedTuple):
    """The state, or its gradient; [B, ...] each, and without B for a row."""

    memory: Array  # [N, W]
    link: Array  # [N, N]
    precedence: Array  # [N]
    usage: Array  # [N]


class Kept(NamedTuple):
    """What a step keeps for its gradient; [B, ...] each, and without B for a row."""

    interface: Array  # [S]  after the activations
    lengths: Array  # [R + 1]  of the keys
    slot: Array  # int [1]  the least used node
    written: Array  # [N]  w
    content: Array  # [R + 1, N]  weights by content
    cosine: Array  # [R + 1, N]
    norms: Array  # [2, N]  of the memory's rows before the write, and of the last nodes
    nodes: Array  # [rounds + 1, N, W]  m̂ before and after every round
    around: Array  # [rounds, 2, N, W]  what was written before and after every node
    d_nodes: Array  # [4, N, W]  for the way back: of nodes, messages, and nodes by relation
    spare: Array  # [N]  for the way back


@row
def forget(sizes, d, d_initial):
    """Nothing passes a start, and nothing of the initial state is learned."""
    attention.zero_rows(d.memory)
    attention.zero_rows(d.link)
    attention.zero(d.precedence)
    attention.zero(d.usage)


@row
def access_row(sizes, asked, before, after, kept, reads, messages):
    """Write, pass messages, read."""
    y, (N, W), R = kept.interface, before.memory.shape, len(kept.lengths) - 1
    activate(sizes, asked, y)
    for h in range(R + 1):
        kept.lengths[h] = math.sqrt(dot(y[h * W : (h + 1) * W], y[h * W : (h + 1) * W]))
    measure(before.memory, kept.norms[0])
    by_content(sizes, R, before.memory, kept.norms[0], kept)
    least = 0
    for i in range(N):
        if before.usage[i] < before.usage[least]:
            least = i
    kept.slot[0] = least
    g_a, g_w, w = y[sizes.gates], y[sizes.gates + 1], kept.written
    for i in range(N):
        w[i] = g_w * (kept.content[R, i] - g_a * kept.content[R, i])
    w[least] += g_w * g_a
    word, nodes = y[sizes.word : sizes.strengths], kept.nodes
    for i in range(N):
        after.usage[i] = sizes.decay * before.usage[i] + w[i]
        for j in range(W):
            old = before.memory[i, j]
            after.memory[i, j] = old + w[i] * (word[j] - old)
            nodes[0, i, j] = after.memory[i, j]
    links.chain(before, after, w)
    for k in range(len(kept.around)):
        pass_messages(nodes[k], after.link, messages, kept.around[k], nodes[k + 1])
    last = nodes[len(kept.around)]
    measure(last, kept.norms[1])
    for h in range(R):
        by_content(sizes, h, last, kept.norms[1], kept)
        attention.read(kept.content[h], last, reads[h * W : (h + 1) * W])
        for i in range(N):
            after.usage[i] += kept.content[h, i]


@row
def activate(sizes, asked, y):
    """Clip the interface vector; words by tanh, β = 1 + softplus, gates by σ."""
    activations.clip(asked, sizes.clip, y)
    for j in range(sizes.word, sizes.strengths):
        y[j] = tanh(y[j])
    activations.above_one(sizes.one, y[sizes.strengths : sizes.gates])
    activations.sigmoid(y[sizes.gates :])


@row
def pass_messages(nodes, link, messages, around, out):
    """tanh(m_i + V_b Σ_j L(i, j) m_j + V_f Σ_j L(j, i) m_j)."""
    N, W = nodes.shape
    around[:] = 0
    for i in range(N):
        for j in range(N):
            add_scaled(around[0, i], link[i, j], nodes[j])
            add_scaled(around[1, j], link[i, j], nodes[i])
    for i in range(N):
        for j in range(W):
            total = nodes[i, j] + dot(messages[j, :W], around[0, i])
            out[i, j] = tanh(total + dot(messages[j, W:], around[1, i]))


@row
def reverse_row(sizes, asked, before, after, kept, d_reads, d_asked, d, messages, d_messages):
    """The steps of ``access_row`` in reverse order."""
    y, (N, W), R = kept.interface, before.memory.shape, len(kept.lengths) - 1
    d_y, rounds = d_asked, len(kept.around)
    attention.zero(d_y)
    d_nodes, d_w = kept.d_nodes, kept.spare
    d_nodes[:] = 0
    last = kept.nodes[rounds]
    for h in range(R):
        attention.zero(d_w)
        words = d_reads[h * W : (h + 1) * W]
        attention.read_reverse(words, kept.content[h], last, d_w, d_nodes[0])
        by_content_reverse(sizes, h, d_w, last, kept.norms[1], kept, d_y, d_nodes[0])
    for k in range(rounds - 1, -1, -1):
        pass_messages_reverse(kept, k, after.link, messages, d_nodes, d.link, d_messages)
    attention.zero(d_w)
    links.chain_reverse(before, kept.written, d, d_w)

    word, d_word = y[sizes.word : sizes.strengths], d_y[sizes.word : sizes.strengths]
    w = kept.written
    for i in range(N):
        d.usage[i] *= sizes.decay
        for j in range(W):
            own = d.memory[i, j] + d_nodes[0, i, j]
            d_w[i] += own * (word[j] - before.memory[i, j])
            d_word[j] += own * w[i]
            d.memory[i, j] = own - own * w[i]
    g_a, g_w, c, least = y[sizes.gates], y[sizes.gates + 1], kept.content[R], kept.slot[0]
    d_y[sizes.gates] += g_w * d_w[least]
    d_y[sizes.gates + 1] += g_a * d_w[least]
    for i in range(N):
        d_y[sizes.gates] -= d_w[i] * g_w * c[i]
        d_y[sizes.gates + 1] += d_w[i] * (c[i] - g_a * c[i])
        d_w[i] *= g_w - g_w * g_a
    by_content_reverse(sizes, R, d_w, before.memory, kept.norms[0], kept, d_y, d.memory)
    activate_reverse(sizes, asked, y, d_y)


@row
def pass_messages_reverse(kept, k, link, messages, d_nodes, d_link, d_messages):
    """``d_nodes[0]``: of the nodes after the round, then before it."""
    nodes, out, around = kept.nodes[k], kept.nodes[k + 1], kept.around[k]
    (N, W), d, d_around = nodes.shape, d_nodes[0], d_nodes[1]
    for i in range(N):
        for j in range(W):
            d[i, j] -= d[i, j] * out[i, j] * out[i, j]
            add_scaled(d_messages[j, :W], d[i, j], around[0, i])
            add_scaled(d_messages[j, W:], d[i, j], around[1, i])
    for relation in range(2):
        attention.zero_rows(d_around)
        for i in range(N):
            for j in range(W):
                add_scaled(d_around[i], d[i, j], messages[j, relation * W : (relation + 1) * W])
        around_reverse(link, nodes, d_around, relation == 0, d_link, d_nodes[2 + relation])
    for i in range(N):
        for j in range(W):
            d[i, j] += d_nodes[2, i, j] + d_nodes[3, i, j]


@row
def around_reverse(link, nodes, d_around, before, d_link, d_nodes):
    """Of Σ_j L(i, j) m_j (``before``), or Σ_j L(j, i) m_j."""
    d_nodes[:] = 0
    for i in range(len(link)):
        for j in range(len(link)):
            to, of = (i, j) if before else (j, i)
            d_link[i, j] += dot(d_around[to], nodes[of])
            add_scaled(d_nodes[of], link[i, j], d_around[to])


@row
def activate_reverse(sizes, asked, y, d):
    for j in range(sizes.word, sizes.strengths):
        d[j] -= d[j] * y[j] * y[j]
    beta, gates = slice(sizes.strengths, sizes.gates), slice(sizes.gates, sizes.end)
    activations.above_one_reverse(sizes.one, y[beta], d[beta])
    activations.sigmoid_reverse(y[gates], d[gates])
    activations.clip_reverse(asked, sizes.clip, d)


ROW_STEPS[Sizes] = RowSteps(access_row, reverse_row, forget)


@cache
def memory(
    dtype: str, slots: int, word_dim: int, read_heads: int, rounds: int, *constants: float
) -> RowMemory:
    """The graph memory; leaves as ``Slots``. ``constants``: clip, the usage's decay and eps."""
    N, W, R = slots, word_dim, read_heads
    widths = [(R + 1) * W, W, R + 1, 2]
    shapes = {
        "interface": (sum(widths),),
        "lengths": (R + 1,),
        "slot": (1,),
        "written": (N,),
        "content": (R + 1, N),
        "cosine": (R + 1, N),
        "norms": (2, N),
        "nodes": (rounds + 1, N, W),
        "around": (rounds, 2, N, W),
        "d_nodes": (4, N, W),
        "spare": (N,),
    }
    typed = map(np.dtype(dtype).type, (1, *constants))
    sizes = Sizes(R * W, *np.cumsum(widths).tolist(), *typed)
    return RowMemory(Kernel(Slots, Kept, sizes, shapes))
