"""Vector times matrix within a kernel: for a few rows a call of the library takes longer."""

from __future__ import annotations

from typing import Final

from memrl.memory.kernels.attention import add_scaled, zero
from memrl.memory.kernels.compile import row

FEW_ROWS: Final = 16  # of a batch; with more, one product of the library for all rows is faster


@row
def multiply(x, matrix, y):
    """Replace y by x M, for M of [len(x), len(y)]."""
    zero(y)
    add_product(x, matrix, y)


@row
def add_product(x, matrix, y):
    """Add x M to y: four rows of M at a time."""
    whole = len(x) - len(x) % 4
    for k in range(0, whole, 4):
        add_four(x[k : k + 4], matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3], y)
    for k in range(whole, len(x)):
        add_scaled(y, x[k], matrix[k])


@row
def add_product_rows(x, matrix, y):
    """Add X M to Y, of a few rows each: four rows of M serve all of them while they are near."""
    whole = x.shape[1] - x.shape[1] % 4
    for k in range(0, whole, 4):
        for n in range(len(x)):
            add_four(x[n, k : k + 4], matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3], y[n])
    for k in range(whole, x.shape[1]):
        for n in range(len(x)):
            add_scaled(y[n], x[n, k], matrix[k])


@row
def add_four(x, a, b, c, d, y):
    x_a, x_b, x_c, x_d = x[0], x[1], x[2], x[3]
    for j in range(len(y)):
        y[j] += x_a * a[j] + x_b * b[j] + x_c * c[j] + x_d * d[j]
