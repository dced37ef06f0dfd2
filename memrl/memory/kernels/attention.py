"""What the kernels share, for one row: attention by content over N slots, and reading with it.

A ``…_reverse`` replaces ``d``, the gradient of its result, and adds to the other gradients.
Constants come typed from the caller: a bare 1.0 would turn a kernel of float32 into one of float64.
"""

from __future__ import annotations

import math

from memrl.memory.kernels.compile import row
from memrl.memory.kernels.elementary import exp


@row
def dot(x, y):
    """Σ x y."""
    total = x.dtype.type(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@row
def add_scaled(x, scale, y):
    """Add scale · y to x."""
    for i in range(len(x)):
        x[i] += scale * y[i]


@row
def copy(x, y):
    """Copy y to x; a slice assignment would compile its broadcasting and messages, for seconds."""
    for i in range(len(x)):
        x[i] = y[i]


@row
def zero(x):
    """Empty a vector."""
    for i in range(len(x)):
        x[i] = 0


@row
def zero_rows(x):
    """Empty [., .]."""
    for i in range(len(x)):
        zero(x[i])


@row
def add(x, y):
    """Add y to x, vectors."""
    for i in range(len(x)):
        x[i] += y[i]


@row
def add_rows(x, y):
    """Add y to x, [., .] each."""
    for i in range(len(x)):
        add(x[i], y[i])


@row
def softmax(x):
    """In place."""
    top = x[0]
    for i in range(len(x)):
        top = max(top, x[i])
    total = x.dtype.type(0)
    for i in range(len(x)):
        x[i] = exp(x[i] - top)
    for i in range(len(x)):
        total += x[i]
    for i in range(len(x)):
        x[i] /= total


@row
def softmax_reverse(d, y):
    inner = dot(d, y)
    for i in range(len(d)):
        d[i] = y[i] * (d[i] - inner)


@row
def measure(rows, lengths):
    """The norm of every row."""
    for i in range(len(lengths)):
        lengths[i] = math.sqrt(dot(rows[i], rows[i]))


@row
def look(key, length, beta, memory, lengths, eps, cosine, weights):
    """Attention by content: softmax over i of β cos(k, M(i)); |k| and |M(i)| are given."""
    for i in range(len(weights)):
        cosine[i] = dot(key, memory[i]) / (length * lengths[i] + eps)
        weights[i] = beta * cosine[i]
    softmax(weights)


@row
def look_reverse(d, key, length, beta, memory, lengths, eps, cosine, weights, d_key, d_memory):
    """To the gradients of key and memory; returns that of β."""
    softmax_reverse(d, weights)
    d_beta, d_length = d.dtype.type(0), d.dtype.type(0)
    for i in range(len(d)):
        d_beta += d[i] * cosine[i]
        product = d[i] * beta / (length * lengths[i] + eps)  # the gradient of k · M(i)
        d_norms = product * cosine[i]  # that of |k| |M(i)|, negated
        d_length -= d_norms * lengths[i]
        add_scaled(d_key, product, memory[i])
        add_scaled(d_memory[i], product, key)
        if lengths[i] != 0:
            add_scaled(d_memory[i], -length * d_norms / lengths[i], memory[i])
    if length != 0:
        add_scaled(d_key, d_length / length, key)
    return d_beta


@row
def by_content(sizes, h, memory, norms, kept):
    """``look`` of head h, of whose interface vector the keys come first and strengths later."""
    W, y = memory.shape[1], kept.interface
    key, beta = y[h * W : (h + 1) * W], y[sizes.strengths + h]
    look(key, kept.lengths[h], beta, memory, norms, sizes.eps, kept.cosine[h], kept.content[h])


@row
def by_content_reverse(sizes, h, d, memory, norms, kept, d_y, d_memory):
    W, y = memory.shape[1], kept.interface
    key, d_key, beta = y[h * W : (h + 1) * W], d_y[h * W : (h + 1) * W], y[sizes.strengths + h]
    d_y[sizes.strengths + h] = look_reverse(
        d,
        key,
        kept.lengths[h],
        beta,
        memory,
        norms,
        sizes.eps,
        kept.cosine[h],
        kept.content[h],
        d_key,
        d_memory,
    )


@row
def read(weights, memory, words):
    """Σ w(i) M(i)."""
    zero(words)
    for i in range(len(weights)):
        add_scaled(words, weights[i], memory[i])


@row
def read_reverse(d, weights, memory, d_weights, d_memory):
    for i in range(len(weights)):
        d_weights[i] += dot(d, memory[i])
        add_scaled(d_memory[i], weights[i], d)
