"""An RMC of one block, row by row: all steps of a sequence, products included, and their gradients.

See `memrl.memory.ops.rmc`. The slots of a row are the rows of its products.
"""

from __future__ import annotations

from typing import NamedTuple

from memrl.memory.kernels import activations, elementary
from memrl.memory.kernels.attention import (
    add,
    add_rows,
    add_scaled,
    copy,
    dot,
    softmax,
    softmax_reverse,
    zero,
    zero_rows,
)
from memrl.memory.kernels.by_type import at
from memrl.memory.kernels.compile import Array, loop, row
from memrl.memory.kernels.norms import affine, norm_reverse, standardise
from memrl.memory.kernels.products import add_product_rows


class Sizes(NamedTuple):
    """Typed constants."""

    one: float
    share: float  # 1 / F
    share_qkv: float  # 1 / 3F
    eps: float  # of the norms
    scale: float  # 1 / √d


class Input(NamedTuple):
    """What a sequence is given."""

    start: Array  # bool [T, B]
    qkv: Array  # [T, B, 3F]
    gates: Array  # [T, B, G]
    first: Array  # [N, F]  before an episode


class Kept(NamedTuple):
    """What a step keeps for its gradient, [T, B, ...]."""

    memory: Array  # [N, F]  M, after its reset
    projected: Array  # [N, 3F]  standardised, as the next two
    attended: Array  # [N, F]
    thought: Array  # [N, F]
    inverse: Array  # [3, N]  1 / deviation of these
    weights: Array  # [N, heads, N + 1]
    hidden: Array  # [N, F]
    gates: Array  # [N, G]  after σ
    squashed: Array  # [N, F]  tanh M
    written: Array  # [N, F]  tanh M̃


class Flow(NamedTuple):
    """Gradients of what the weights multiplied, and of the input, [T, B, ...]."""

    projected: Array  # [N, 3F]
    hidden: Array  # [N, F]
    thought: Array  # [N, F]
    gates: Array  # [N, G]
    qkv: Array  # [3F]
    asked: Array  # [G]  of the input's part of the gates


class Small(NamedTuple):
    """Gradients of gains, shifts and biases, [B, ...]."""

    qkv_bias: Array
    qkv_gain: Array
    qkv_shift: Array
    attended_gain: Array
    attended_shift: Array
    mlp_in_bias: Array
    mlp_out_bias: Array
    thought_gain: Array
    thought_shift: Array


class Room(NamedTuple):
    """Of a row, [B, ...]; nothing of it outlives a step."""

    qkv: Array  # [N + 1, 3F]
    d_qkv: Array  # [N + 1, 3F]
    rows: Array  # [N, F]
    more: Array  # [N, F]
    weights: Array  # [N + 1]


@loop
def sequence(begin, end, sizes, given, p, kept, room, out):
    """All steps of some rows, to M' of each, [T, B, N, F]; products are by the weights' columns."""
    for b in range(begin, end):
        for t in range(len(out)):
            own = at(room, b)
            step_row(sizes, given.qkv[t, b], given.gates[t, b], p, at(kept, (t, b)), own, out[t, b])
            if t + 1 < len(out):
                again = given.start[t + 1, b]
                copy_rows(kept.memory[t + 1, b], given.first if again else out[t, b])


@row
def step_row(sizes, qkv, gates, p, kept, room, after):
    """M' from the memory that is kept."""
    N, rows = len(after), room.rows
    project(sizes, p, kept, qkv, room.qkv)
    attend(sizes.scale, room.qkv, kept.weights, kept.attended)
    for n in range(N):
        add(kept.attended[n], kept.memory[n])
        kept.inverse[1, n] = standardise(kept.attended[n], sizes.one, sizes.share, sizes.eps)
        affine(kept.attended[n], p.attended_gain, p.attended_shift, rows[n])
        copy(kept.hidden[n], p.mlp_in_bias)
    add_product_rows(rows, p.mlp_in, kept.hidden)
    for n in range(N):
        relu(kept.hidden[n])
        copy(kept.thought[n], rows[n])
        add(kept.thought[n], p.mlp_out_bias)
    add_product_rows(kept.hidden, p.mlp_out, kept.thought)
    for n in range(N):
        kept.inverse[2, n] = standardise(kept.thought[n], sizes.one, sizes.share, sizes.eps)
        affine(kept.thought[n], p.thought_gain, p.thought_shift, after[n])
    if len(gates):
        gate(gates, p, kept, after)


@row
def project(sizes, p, kept, of_input, qkv):
    """Query, key and value of all rows."""
    N = len(kept.memory)
    for n in range(N):
        copy(kept.projected[n], p.qkv_bias)
    add_product_rows(kept.memory, p.qkv, kept.projected)
    for n in range(N):
        kept.inverse[0, n] = standardise(kept.projected[n], sizes.one, sizes.share_qkv, sizes.eps)
        affine(kept.projected[n], p.qkv_gain, p.qkv_shift, qkv[n])
    copy(qkv[N], of_input)


@row
def attend(scale, qkv, weights, found):
    """Every head's softmax(Q Kᵀ / √d) V."""
    (N, heads, K), F = weights.shape, found.shape[1]
    D = F // heads
    for n in range(N):
        for h in range(heads):
            begin, end = h * D, (h + 1) * D
            w, q, words = weights[n, h], qkv[n, begin:end], found[n, begin:end]
            for j in range(K):
                w[j] = scale * dot(q, qkv[j, F + begin : F + end])
            softmax(w)
            zero(words)
            for j in range(K):
                add_scaled(words, w[j], qkv[j, 2 * F + begin : 2 * F + end])


@row
def relu(x):
    for i in range(len(x)):
        x[i] = max(x[i], x.dtype.type(0))


@row
def gate(gates, p, kept, after):
    """M' = f ∘ M + i ∘ tanh M̃; ``after`` is M̃ before."""
    N, F = after.shape
    for n in range(N):
        copy(kept.gates[n], gates)
        squash(kept.memory[n], kept.squashed[n])
        squash(after[n], kept.written[n])
    add_product_rows(kept.squashed, p.gate, kept.gates)
    for n in range(N):
        activations.sigmoid(kept.gates[n])
        i, f = kept.gates[n, :F], kept.gates[n, F:]
        blend(f, kept.memory[n], i, kept.written[n], after[n])


@row
def squash(x, y):
    for i in range(len(x)):
        y[i] = elementary.tanh(x[i])


@row
def blend(f, old, i, new, after):
    for j in range(len(after)):
        after[j] = f[j] * old[j] + i[j] * new[j]


@row
def copy_rows(x, y):
    for n in range(len(x)):
        copy(x[n], y[n])


@loop
def sequence_reverse(begin, end, sizes, given, p, kept, room, d_out, flow, small, d):
    """The gradients of all steps; ``d`` [B, N, F]: of the memory; products by the weights' rows."""
    for b in range(begin, end):
        own, sums = at(room, b), at(small, b)
        for t in range(len(d_out) - 1, -1, -1):
            add_rows(d[b], d_out[t, b])
            here, back = at(kept, (t, b)), at(flow, (t, b))
            reverse_row(sizes, given.qkv[t, b], p, here, own, back, sums, d[b])
            if given.start[t, b]:
                zero_rows(d[b])


@row
def reverse_row(sizes, qkv, p, kept, room, flow, small, d):
    """From the gradient of M' to that of M, in place."""
    N, d_rows = len(d), room.rows
    if len(flow.asked):
        gate_reverse(p, kept, room, flow, d)
    else:
        for n in range(N):
            copy(d_rows[n], d[n])
            zero(d[n])
    for n in range(N):
        norm_reverse(
            d_rows[n], kept.thought[n], kept.inverse[2, n], sizes.share,
            p.thought_gain, small.thought_gain, small.thought_shift,
        )  # fmt: skip
        copy(flow.thought[n], d_rows[n])
        add(small.mlp_out_bias, d_rows[n])
        zero(flow.hidden[n])
    add_product_rows(flow.thought, p.mlp_out, flow.hidden)
    for n in range(N):
        relu_reverse(flow.hidden[n], kept.hidden[n])
        add(small.mlp_in_bias, flow.hidden[n])
    add_product_rows(flow.hidden, p.mlp_in, d_rows)
    for n in range(N):
        norm_reverse(
            d_rows[n], kept.attended[n], kept.inverse[1, n], sizes.share,
            p.attended_gain, small.attended_gain, small.attended_shift,
        )  # fmt: skip
        add(d[n], d_rows[n])
        affine(kept.projected[n], p.qkv_gain, p.qkv_shift, room.qkv[n])
    copy(room.qkv[N], qkv)
    attend_reverse(sizes.scale, d_rows, room, kept.weights)
    copy(flow.qkv, room.d_qkv[N])
    for n in range(N):
        norm_reverse(
            room.d_qkv[n], kept.projected[n], kept.inverse[0, n], sizes.share_qkv,
            p.qkv_gain, small.qkv_gain, small.qkv_shift,
        )  # fmt: skip
        copy(flow.projected[n], room.d_qkv[n])
        add(small.qkv_bias, room.d_qkv[n])
    add_product_rows(flow.projected, p.qkv, d)


@row
def gate_reverse(p, kept, room, flow, d):
    """To M past the attention, in place, and to M̃, in ``room.rows``."""
    N, F = d.shape
    zero(flow.asked)
    for n in range(N):
        i, f, d_gates = kept.gates[n, :F], kept.gates[n, F:], flow.gates[n]
        gated_reverse(d[n], kept.written[n], i, d_gates[:F])
        gated_reverse(d[n], kept.memory[n], f, d_gates[F:])
        add(flow.asked, d_gates)
        squash_reverse(d[n], i, kept.written[n], room.rows[n])
        zero(room.more[n])
    add_product_rows(flow.gates, p.gate, room.more)
    for n in range(N):
        keep_reverse(d[n], kept.gates[n, F:], room.more[n], kept.squashed[n])


@row
def gated_reverse(d, x, gate, d_gate):
    """Of σ, for what it multiplies."""
    for j in range(len(d)):
        d_gate[j] = d[j] * x[j] * (gate[j] - gate[j] * gate[j])


@row
def squash_reverse(d, i, y, d_new):
    for j in range(len(d)):
        d_new[j] = d[j] * (i[j] - i[j] * y[j] * y[j])


@row
def keep_reverse(d, f, d_squashed, y):
    for j in range(len(d)):
        d[j] = d[j] * f[j] + d_squashed[j] - d_squashed[j] * y[j] * y[j]


@row
def relu_reverse(d, y):
    for j in range(len(d)):
        d[j] = d[j] if y[j] > 0 else d.dtype.type(0)


@row
def attend_reverse(scale, d, room, weights):
    """From the gradient of what was found to ``room.d_qkv``."""
    (N, heads, K), F = weights.shape, d.shape[1]
    D, qkv, d_qkv, d_w = F // heads, room.qkv, room.d_qkv, room.weights
    zero_rows(d_qkv)
    for n in range(N):
        for h in range(heads):
            begin, end = h * D, (h + 1) * D
            w, words, d_q = weights[n, h], d[n, begin:end], d_qkv[n, begin:end]
            for j in range(K):
                d_w[j] = dot(words, qkv[j, 2 * F + begin : 2 * F + end])
                add_scaled(d_qkv[j, 2 * F + begin : 2 * F + end], w[j], words)
            softmax_reverse(d_w, w)
            for j in range(K):
                add_scaled(d_q, scale * d_w[j], qkv[j, F + begin : F + end])
                add_scaled(d_qkv[j, F + begin : F + end], scale * d_w[j], qkv[n, begin:end])
