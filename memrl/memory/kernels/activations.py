"""Activations of an interface vector, in place, and their gradients; ``one`` has the vector's type.

A ``…_reverse`` takes the activated vector ``y`` and replaces ``d``, the gradient of its parts.
"""

from __future__ import annotations

import math

from memrl.memory.kernels import elementary
from memrl.memory.kernels.compile import row
from memrl.memory.kernels.elementary import exp


@row
def clip(asked, bound, y):
    """What was asked, clipped to ± ``bound``; NaN stays."""
    for j in range(len(y)):
        y[j] = -bound if asked[j] < -bound else asked[j]
        y[j] = bound if asked[j] > bound else y[j]


@row
def clip_reverse(asked, bound, d):
    for j in range(len(d)):
        if abs(asked[j]) > bound:
            d[j] = 0


@row
def above_one(one, y):
    """1 + softplus."""
    for j in range(len(y)):
        y[j] = one + math.log1p(exp(y[j]))


@row
def above_one_reverse(one, y, d):
    for j in range(len(d)):
        d[j] -= d[j] * exp(one - y[j])


@row
def sigmoid(y):
    for j in range(len(y)):
        y[j] = elementary.sigmoid(y[j])


@row
def add_sigmoid(y, x):
    """Replace y by σ(y + x)."""
    for j in range(len(y)):
        y[j] = elementary.sigmoid(y[j] + x[j])


@row
def sigmoid_reverse(y, d):
    for j in range(len(d)):
        d[j] *= y[j] - y[j] * y[j]
