"""Reading filled slots by their scores, for one row; see `memrl.memory.ops.reading`."""

from __future__ import annotations

import math

import numpy as np

from memrl.memory.kernels.attention import copy, zero
from memrl.memory.kernels.compile import row
from memrl.memory.kernels.elementary import exp


@row
def attend(count, straight, filled, scores, looks):
    """Turn scores into a softmax, in place; ``looks`` become the weights that read.

    Both are of the ``count`` best slots. If ``straight``, the softmax is of all filled ones, for
    the gradient, and the best slots are read with weight 1.
    """
    choose_best(count, filled, scores, looks)
    if straight:
        softmax_over(filled, scores)
    else:
        softmax_over(looks, scores)
        copy(looks, scores)


@row
def choose_best(count, filled, scores, chosen):
    """1 for filled slots of the highest scores, 0 for others; of equal ones the lower is taken."""
    if count >= len(filled):
        copy(chosen, filled)
        return
    zero(chosen)
    for _ in range(count):
        best = -1
        for i in range(len(filled)):
            free = filled[i] > 0 and chosen[i] == 0
            if free and (best < 0 or scores[i] > scores[best] or math.isnan(scores[i])):
                best = i
        if best >= 0:
            chosen[best] = 1


@row
def softmax_over(some, x):
    """In place, over slots where ``some`` is above 0; 0 elsewhere, also if there is none."""
    top, total = x.dtype.type(-np.inf), x.dtype.type(0)
    for i in range(len(x)):
        top = max(top, x[i] if some[i] > 0 else top)
    for i in range(len(x)):
        x[i] = exp(x[i] - top) if some[i] > 0 else x.dtype.type(0)
    for i in range(len(x)):
        total += x[i]
    if total != 0:
        for i in range(len(x)):
            x[i] /= total
