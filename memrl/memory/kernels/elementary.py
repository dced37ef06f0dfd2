"""Exp, tanh and σ of a number, which the compiler can turn into vectors.

In single precision tanh is x p(x²) / q(x²) on ± 8, fitted by weighted least squares; its error is
4e-7 at most. exp is 2ⁿ eʳ with |r| ≤ ½ ln 2 and six terms of eʳ; its error is 5e-7 of its value.
Numba's calls of the mathematical library take a number at a time, these take eight.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from memrl.memory.kernels.compile import row

EDGE = np.float32(8)  # beyond it tanh is 1 to within its rounding
P0, P1, P2, P3, P4 = map(
    np.float32,
    (0.99999999357, 0.134444968783, 3.5715967039e-3, 2.1894639672e-5, 1.5230385695e-8),
)
Q1, Q2, Q3, Q4 = map(np.float32, (0.46777824198, 2.6164437945e-2, 3.4112898351e-4, 8.5224337657e-7))
ONE, HALF = np.float32(1), np.float32(0.5)
LOWEST, HIGHEST = np.float32(-87), np.float32(88)  # of exp: 2ⁿ is a normal number
PER_LN2, LN2_HIGH, LN2_LOW = map(np.float32, (1.44269504, 0.693359375, -2.12194440e-4))
E2, E3, E4, E5, E6 = (np.float32(1 / math.factorial(n)) for n in range(2, 7))
BIAS, MANTISSA = np.int32(127), np.int32(23)  # of a float32


@row
def rational_tanh(x):
    """Tanh of a float32."""
    x = -EDGE if x < -EDGE else x  # NaN stays
    x = EDGE if x > EDGE else x
    u = x * x
    p = P0 + u * (P1 + u * (P2 + u * (P3 + u * P4)))
    q = ONE + u * (Q1 + u * (Q2 + u * (Q3 + u * Q4)))
    return x * p / q


def as_float(bits):
    """The float32 of the bits of an int32."""
    return bits.view(np.float32)


@intrinsic
def _bitcast(context, bits):
    def bitcast(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), bitcast


@overload(as_float, inline="always")
def _as_float(bits):
    return lambda bits: _bitcast(bits)


@row
def short_exp(x):
    """Exp of a float32."""
    x = LOWEST if x < LOWEST else x  # NaN stays
    x = HIGHEST if x > HIGHEST else x
    n = np.floor(x * PER_LN2 + HALF)
    r = x - n * LN2_HIGH - n * LN2_LOW
    y = ONE + r * (ONE + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
    return y * as_float(np.int32((np.int32(n) + BIAS) << MANTISSA))


def exp(x):
    return math.exp(x)


def tanh(x):
    return math.tanh(x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@overload(exp, inline="always")
def _exp(x):
    return (lambda x: short_exp(x)) if x == numba.float32 else lambda x: math.exp(x)


@overload(tanh, inline="always")
def _tanh(x):
    return (lambda x: rational_tanh(x)) if x == numba.float32 else lambda x: math.tanh(x)


@overload(sigmoid, inline="always")
def _sigmoid(x):
    if x == numba.float32:
        return lambda x: HALF + HALF * rational_tanh(HALF * x)
    return lambda x: 1 / (1 + math.exp(-x))
