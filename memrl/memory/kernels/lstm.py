"""An LSTM's gates over rows: what lies between two products, in one pass each way."""

from __future__ import annotations

from typing import NamedTuple

import numba
import torch
from torch import Tensor

from memrl.memory.kernels.activations import add_sigmoid
from memrl.memory.kernels.attention import copy, zero
from memrl.memory.kernels.compile import Array, over_rows, row
from memrl.memory.kernels.elementary import tanh
from memrl.memory.kernels.products import FEW_ROWS, multiply
from memrl.memory.kernels.threads import LEAST_UNITS, Calls, call
from memrl.memory.ops.gated import Given
from memrl.memory.ops.lstm import ControllerGates, LSTMGates


class CellKept(NamedTuple):  # numba wants other names than those of what memories keep
    """What a sequence reads and writes."""

    start: Array  # bool [T, B]
    first_h: Array  # [1, H]  before an episode
    first_c: Array  # [1, H]
    gates: Array  # [T, B, 4H]  before their activations, then after
    c_in: Array  # [T + 1, B, H]
    tanh_c: Array  # [T, B, H]  after the step
    h_in: Array  # [T + 1, B, ≥ H]


class RowLSTM(LSTMGates):
    """`LSTMGates` by a kernel."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        h = given.state[0]
        self.few, shares = len(h) <= FEW_ROWS, h.numel() // LEAST_UNITS
        self.product = torch.empty_like(self.gates[0])
        self.one_step, self.one_back = Calls(step, shares), Calls(reverse, shares)
        kept = self.start, *self.initial, self.gates, self.c_in, self.tanh_c, self.h_in
        self.kept = CellKept(*(leaf.detach().numpy() for leaf in kept))

    def forward(self, u: Tensor, h_out: Tensor) -> None:
        if not self.few:
            return super().forward(u, h_out)
        arrays = u.contiguous().numpy(), self.product.numpy(), self.kept, h_out.numpy()
        call(sequence, len(h_out[0]), self.order, *arrays)

    def step(self, t: int, u: Tensor, h_out: Tensor) -> None:
        product = torch.mm(self.h_in[t], u, out=self.product).numpy()
        self.one_step(t, self.order, product, self.kept, h_out.numpy())

    def _prepare(self) -> None:
        self.d_gates = torch.empty_like(self.gates)

    def backward(self, u: Tensor, d_h: Tensor, d_out: Tensor) -> None:
        if not self.few:
            return super().backward(u, d_h, d_out)
        grads = (leaf.numpy() for leaf in (d_out, d_h, self.d_c, self.d_gates))
        arrays = u.t().contiguous().numpy(), self.kept, *grads
        call(sequence_reverse, len(d_h), self.order, *arrays)

    def reverse(self, t: int, d_h: Tensor, d_out: Tensor) -> None:
        grads = (leaf.numpy() for leaf in (d_out, d_h, self.d_c, self.d_gates))
        self.one_back(t, self.order, self.kept, *grads)


class RowController(RowLSTM):
    """`ControllerGates` by a kernel."""

    order = ControllerGates.order


@over_rows
def sequence(order, u, product, kept, h_out):
    """All steps of a few rows, products included."""
    for b in numba.prange(kept.tanh_c.shape[1]):
        for t in range(len(kept.tanh_c)):
            multiply(kept.h_in[t, b], u, product[b])
            step_row(t, b, order, product[b], kept, h_out)


@over_rows
def step(t, order, product, kept, h_out):
    """One step of many rows."""
    for b in numba.prange(kept.tanh_c.shape[1]):
        step_row(t, b, order, product[b], kept, h_out)


@row
def step_row(t, b, order, x, kept, h_out):
    """Activate the gates in place, then the cell, the output, and the next state."""
    T, _, H = kept.tanh_c.shape
    y = kept.gates[t, b]
    i, f = y[:H], y[H : 2 * H]
    g, o = y[order.g * H : (order.g + 1) * H], y[order.o * H : (order.o + 1) * H]
    activate(y, x, order.g * H, H)
    c, h = kept.c_in[t + 1, b], h_out[t, b, :H]
    cell(i, f, g, kept.c_in[t, b], c)
    emit(o, c, kept.tanh_c[t, b], h)
    again = t + 1 < T and kept.start[t + 1, b]
    if again:
        copy(c, kept.first_c[0])
    copy(kept.h_in[t + 1, b, :H], kept.first_h[0] if again else h)


@row
def activate(y, x, g, H):
    """σ of three gates and tanh of that at g, of what inputs and state give together."""
    add_sigmoid(y[:g], x[:g])
    propose(y[g : g + H], x[g : g + H])
    add_sigmoid(y[g + H :], x[g + H :])


@row
def propose(y, x):
    for j in range(len(y)):
        y[j] = tanh(y[j] + x[j])


@row
def cell(i, f, g, c, c_new):
    for j in range(len(c)):
        c_new[j] = f[j] * c[j] + i[j] * g[j]


@row
def emit(o, c, tanh_c, h):
    for j in range(len(c)):
        tanh_c[j] = tanh(c[j])
        h[j] = o[j] * tanh_c[j]


@over_rows
def sequence_reverse(order, weight, kept, d_out, d_h, d_c, d_gates):
    """The gradients of all steps of a few rows, products included."""
    for b in numba.prange(len(d_c)):
        for t in range(len(d_out) - 1, -1, -1):
            reverse_row(t, b, order, kept, d_out, d_h, d_c, d_gates)
            multiply(d_gates[t, b], weight, d_h[b])


@over_rows
def reverse(t, order, kept, d_out, d_h, d_c, d_gates):
    """One step of many rows."""
    for b in numba.prange(len(d_c)):
        reverse_row(t, b, order, kept, d_out, d_h, d_c, d_gates)


@row
def reverse_row(t, b, order, kept, d_out, d_h, d_c, d_gates):
    """From the gradients of h and c after step t to those of its gates, and of c before it."""
    T, _, H = kept.tanh_c.shape
    y, d, d_c = kept.gates[t, b], d_gates[t, b], d_c[b]
    i, f = y[:H], y[H : 2 * H]
    g, o = y[order.g * H : (order.g + 1) * H], y[order.o * H : (order.o + 1) * H]
    if t + 1 < T and kept.start[t + 1, b]:
        zero(d_h[b, :H])
        zero(d_c)
    d_o = d[order.o * H : (order.o + 1) * H]
    emit_reverse(d_h[b], d_out[t, b], o, kept.tanh_c[t, b], d_c, d_o)
    d_g = d[order.g * H : (order.g + 1) * H]
    input_reverse(d_c, i, g, d[:H])
    candidate_reverse(d_c, i, g, d_g)
    forget_reverse(d_c, kept.c_in[t, b], f, d[H : 2 * H])


@row
def emit_reverse(d_h, d_out, o, tanh_c, d_c, d_o):
    for j in range(len(d_c)):
        d = d_h[j] + d_out[j]
        d_c[j] += d * (o[j] - o[j] * tanh_c[j] * tanh_c[j])
        d_o[j] = d * tanh_c[j] * (o[j] - o[j] * o[j])


@row
def input_reverse(d_c, i, g, d_i):
    for j in range(len(d_c)):
        d_i[j] = d_c[j] * g[j] * (i[j] - i[j] * i[j])


@row
def candidate_reverse(d_c, i, g, d_g):
    for j in range(len(d_c)):
        d_g[j] = d_c[j] * (i[j] - i[j] * g[j] * g[j])


@row
def forget_reverse(d_c, c, f, d_f):
    for j in range(len(d_c)):
        d_f[j] = d_c[j] * c[j] * (f[j] - f[j] * f[j])
        d_c[j] *= f[j]
