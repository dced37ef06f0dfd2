"""The layer norm of a row, and its gradient; constants have the row's type."""

from __future__ import annotations

import math

from memrl.memory.kernels.attention import add, dot
from memrl.memory.kernels.compile import row


@row
def standardise(x, one, share, eps):
    """To mean 0 and deviation 1, in place; returns 1 / deviation. ``share`` is 1 / len(x)."""
    mean = x.dtype.type(0)
    for i in range(len(x)):
        mean += x[i]
    mean *= share
    for i in range(len(x)):
        x[i] -= mean
    inverse = one / math.sqrt(dot(x, x) * share + eps)
    for i in range(len(x)):
        x[i] *= inverse
    return inverse


@row
def affine(x, gain, shift, y):
    for i in range(len(x)):
        y[i] = x[i] * gain[i] + shift[i]


@row
def norm_reverse(d, x, inverse, share, gain, d_gain, d_shift):
    """Of both; ``x`` is standardised, and ``d`` becomes the gradient of what was given."""
    add(d_shift, d)
    add_products(d_gain, d, x)
    scale(d, gain)
    mean = d.dtype.type(0)
    for i in range(len(d)):
        mean += d[i]
    center(d, x, inverse, mean * share, dot(d, x) * share)


@row
def add_products(x, y, z):
    for i in range(len(x)):
        x[i] += y[i] * z[i]


@row
def scale(x, y):
    for i in range(len(x)):
        x[i] *= y[i]


@row
def center(d, x, inverse, mean, along):
    for i in range(len(d)):
        d[i] = inverse * (d[i] - mean - along * x[i])
