"""A GRU's gates over rows: what lies between two products, in one pass each way."""

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
from memrl.memory.ops.gru import GRUGates


class Kept(NamedTuple):
    """What a sequence reads and writes."""

    start: Array  # bool [T, B]
    first_h: Array  # [1, H]  before an episode
    bias_n: Array  # [H]
    gates: Array  # [T, B, 3H]  before their activations, then after
    hidden_n: Array  # [T, B, H]  U_n h + b_n
    h_in: Array  # [T + 1, B, H]


class RowGRU(GRUGates):
    """`GRUGates` by a kernel."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        h = given.state[0]
        self.few, shares = len(h) <= FEW_ROWS, h.numel() // LEAST_UNITS
        self.product = torch.empty_like(self.gates[0])
        self.one_step, self.one_back = Calls(step, shares), Calls(reverse, shares)
        kept = self.start, self.initial, self.bias_n, self.gates, self.hidden_n, self.h_in
        self.kept = Kept(*(leaf.detach().contiguous().numpy() for leaf in kept))

    def forward(self, u: Tensor, h_out: Tensor) -> None:
        if not self.few:
            return super().forward(u, h_out)
        arrays = u.contiguous().numpy(), self.product.numpy(), self.kept, h_out.numpy()
        call(sequence, len(h_out[0]), *arrays)

    def step(self, t: int, u: Tensor, h_out: Tensor) -> None:
        product = torch.mm(self.h_in[t], u, out=self.product).numpy()
        self.one_step(t, product, self.kept, h_out.numpy())

    def begin_reverse(self, d_last: tuple[Tensor | None, ...]) -> None:
        self.d_gates = torch.empty_like(self.gates)
        self.d_n = torch.empty_like(self.hidden_n)
        self.past = torch.zeros_like(self.h_in[0])

    def backward(self, u: Tensor, d_h: Tensor, d_out: Tensor) -> None:
        if not self.few:
            return super().backward(u, d_h, d_out)
        grads = (leaf.numpy() for leaf in (d_out, d_h, self.past, self.d_gates, self.d_n))
        call(sequence_reverse, len(d_h), u.t().contiguous().numpy(), self.kept, *grads)

    def reverse(self, t: int, d_h: Tensor, d_out: Tensor) -> None:
        grads = (leaf.numpy() for leaf in (d_out, d_h, self.past, self.d_gates, self.d_n))
        self.one_back(t, self.kept, *grads)


@over_rows
def sequence(u, product, kept, h_out):
    """All steps of a few rows, products included."""
    for b in numba.prange(h_out.shape[1]):
        for t in range(len(h_out)):
            multiply(kept.h_in[t, b], u, product[b])
            step_row(t, b, product[b], kept, h_out)


@over_rows
def step(t, product, kept, h_out):
    """One step of many rows."""
    for b in numba.prange(h_out.shape[1]):
        step_row(t, b, product[b], kept, h_out)


@row
def step_row(t, b, x, kept, h_out):
    """Activate the gates in place, then the output and the next state."""
    T, _, H = h_out.shape
    y, hidden, h = kept.gates[t, b], kept.hidden_n[t, b], h_out[t, b]
    add_sigmoid(y[: 2 * H], x[: 2 * H])
    of_state(x[2 * H :], kept.bias_n, hidden)
    propose(y[2 * H :], y[:H], hidden)
    mix(y[H : 2 * H], y[2 * H :], kept.h_in[t, b], h)
    again = t + 1 < T and kept.start[t + 1, b]
    copy(kept.h_in[t + 1, b], kept.first_h[0] if again else h)


@row
def of_state(x, bias, hidden):
    for j in range(len(x)):
        hidden[j] = x[j] + bias[j]


@row
def propose(n, r, hidden):
    for j in range(len(n)):
        n[j] = tanh(n[j] + r[j] * hidden[j])


@row
def mix(z, n, h, h_new):
    for j in range(len(h)):
        h_new[j] = n[j] + z[j] * (h[j] - n[j])  # (1 - z) n + z h


@over_rows
def sequence_reverse(weight, kept, d_out, d_h, past, d_gates, d_n):
    """The gradients of all steps of a few rows, products included."""
    for b in numba.prange(len(d_h)):
        for t in range(len(d_out) - 1, -1, -1):
            reverse_row(t, b, kept, d_out, d_h, past, d_gates, d_n)
            multiply(d_gates[t, b], weight, d_h[b])


@over_rows
def reverse(t, kept, d_out, d_h, past, d_gates, d_n):
    """One step of many rows."""
    for b in numba.prange(len(d_h)):
        reverse_row(t, b, kept, d_out, d_h, past, d_gates, d_n)


@row
def reverse_row(t, b, kept, d_out, d_h, past, d_gates, d_n):
    """From the gradient of h after step t to those of its gates, and of h before it."""
    T, _, H = d_out.shape
    y, d, total = kept.gates[t, b], d_gates[t, b], past[b]
    r, z, n = y[:H], y[H : 2 * H], y[2 * H :]
    if t + 1 < T and kept.start[t + 1, b]:
        zero(total)
        zero(d_h[b])
    gather(total, d_h[b], d_out[t, b])
    update_reverse(total, kept.h_in[t, b], z, n, d[H : 2 * H])
    candidate_reverse(total, z, n, d_n[t, b])
    reset_reverse(d_n[t, b], r, kept.hidden_n[t, b], d[:H], d[2 * H :])
    keep(total, z)


@row
def gather(total, d_h, d_out):
    for j in range(len(total)):
        total[j] += d_h[j] + d_out[j]


@row
def update_reverse(d, h, z, n, d_z):
    for j in range(len(d)):
        d_z[j] = d[j] * (h[j] - n[j]) * (z[j] - z[j] * z[j])


@row
def candidate_reverse(d, z, n, d_n):
    for j in range(len(d)):
        through = d[j] - d[j] * z[j]
        d_n[j] = through - through * n[j] * n[j]


@row
def reset_reverse(d_n, r, hidden, d_r, d_hidden):
    for j in range(len(d_n)):
        d_hidden[j] = d_n[j] * r[j]
        d_r[j] = d_hidden[j] * (hidden[j] - hidden[j] * r[j])


@row
def keep(d, z):
    """What reaches the earlier state through z."""
    for j in range(len(d)):
        d[j] *= z[j]
