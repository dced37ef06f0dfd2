"""tanh and σ of a number, which the compiler can turn into vectors.

In single precision tanh is x p(x²) / q(x²) on ± 8, fitted by weighted least squares: its error is
4e-7 at most. Numba's calls of the mathematical library take a number at a time, this takes eight.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba.extending import overload

from memrl.memory.kernels.compile import row

EDGE = np.float32(8)  # beyond it tanh is 1 to within its rounding
P0, P1, P2, P3, P4 = map(
    np.float32,
    (0.99999999357, 0.134444968783, 3.5715967039e-3, 2.1894639672e-5, 1.5230385695e-8),
)
Q1, Q2, Q3, Q4 = map(np.float32, (0.46777824198, 2.6164437945e-2, 3.4112898351e-4, 8.5224337657e-7))
ONE, HALF = np.float32(1), np.float32(0.5)


@row
def rational_tanh(x):
    """Tanh of a float32."""
    x = -EDGE if x < -EDGE else x  # NaN stays
    x = EDGE if x > EDGE else x
    u = x * x
    p = P0 + u * (P1 + u * (P2 + u * (P3 + u * P4)))
    q = ONE + u * (Q1 + u * (Q2 + u * (Q3 + u * Q4)))
    return x * p / q


def tanh(x):
    return math.tanh(x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@overload(tanh, inline="always")
def _tanh(x):
    return (lambda x: rational_tanh(x)) if x == numba.float32 else lambda x: math.tanh(x)


@overload(sigmoid, inline="always")
def _sigmoid(x):
    if x == numba.float32:
        return lambda x: HALF + HALF * rational_tanh(HALF * x)
    return lambda x: 1 / (1 + math.exp(-x))
