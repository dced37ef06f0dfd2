"""The elementwise part of an LSTM: one step, and a sequence with its gradient."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from memrl.memory.ops.gated import Gates, Given, Leaves, owned
from memrl.memory.ops.host import steps_with_start


class Order(NamedTuple):
    """Where the candidate g and the output gate o stand among the gates; i and f are first."""

    g: int
    o: int


def lstm_cell(
    gates: Float[Tensor, "B G"], cell: Float[Tensor, "B H"]
) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B H"]]:
    """Hidden and cell state after one step; the caller computes the matrix products.

    ``gates`` holds the pre-activations [i, f, o, g] side by side, G = 4H. The three sigmoid gates
    are neighbours, so that one operation computes them.
    """
    width = cell.shape[-1]
    squashed, candidate = torch.split(gates, [3 * width, width], dim=-1)
    i, f, o = squashed.sigmoid().chunk(3, dim=-1)
    cell = torch.addcmul(f * cell, i, candidate.tanh())
    return o * cell.tanh(), cell


class LSTMGates(Gates):
    """An LSTM's gates i, f, g, o in torch.

    The backward pass first computes, for all steps, every factor that does not depend on the
    incoming gradient.
    """

    order: ClassVar = Order(g=2, o=3)

    def __init__(self, given: Given) -> None:
        self.gates, self.start, (h, c), self.initial, _, self.h_in = given
        T, self.H = len(self.start), h.shape[1]
        self.c_in, self.tanh_c = h.new_empty(T + 1, *c.shape), h.new_empty(T, *c.shape)
        self.resets = [*steps_with_start(self.start), False]
        self._begin(0, h, c)

    def _begin(self, t: int, h: Tensor, c: Tensor) -> None:
        """The state before step t, reset where an episode starts."""
        places = self.h_in[t, :, : self.H], self.c_in[t]
        for place, leaf, first in zip(places, (h, c), self.initial, strict=True):
            if self.resets[t]:
                torch.where(self.start[t].unsqueeze(1), first, leaf, out=place)
            else:
                place.copy_(leaf)

    def _parts(self, gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The gates i, f, g, o."""
        parts = gates.chunk(4, dim=-1)
        return parts[0], parts[1], parts[self.order.g], parts[self.order.o]

    def step(self, t: int, u: Tensor, h_out: Tensor) -> None:
        gates = self.gates[t].addmm_(self.h_in[t], u)
        begin, end = self.order.g * self.H, (self.order.g + 1) * self.H
        gates[:, :begin].sigmoid_()
        gates[:, begin:end].tanh_()
        gates[:, end:].sigmoid_()
        i, f, g, o = self._parts(gates)
        c = (f * self.c_in[t]).addcmul_(i, g)
        h = torch.mul(o, torch.tanh(c, out=self.tanh_c[t]), out=h_out[t, :, : self.H])
        self._begin(t + 1, h, c)

    def last(self) -> Leaves:
        return self.h_in[-1, :, : self.H], self.c_in[-1]

    def begin_reverse(self, d_last: tuple[Tensor | None, ...]) -> None:
        (d_c,) = d_last
        self.d_c = torch.zeros_like(self.c_in[0]) if d_c is None else owned(d_c)
        self._prepare()

    def _prepare(self) -> None:
        i, _, g, o = self._parts(self.gates)
        self.through_c = (1 - self.tanh_c.square()).mul_(o)  # dc' / dh'
        self.d_gates = self.gates - self.gates.square()  # σ', then times what it multiplies
        d_i, d_f, d_g, d_o = self._parts(self.d_gates)
        d_i.mul_(g)
        d_f.mul_(self.c_in[:-1])
        torch.sub(i, i * g.square(), out=d_g)
        d_o.mul_(self.tanh_c)

    def reverse(self, t: int, d_h: Tensor, d_out: Tensor) -> None:
        d_h, d_c = d_h[:, : self.H], self.d_c
        if self.resets[t + 1]:
            fresh = self.start[t + 1].unsqueeze(1)
            d_h.masked_fill_(fresh, 0)
            d_c.masked_fill_(fresh, 0)
        d_h.add_(d_out[t, :, : self.H])
        d_c.addcmul_(d_h, self.through_c[t])
        d_i, d_f, d_g, d_o = self._parts(self.d_gates[t])
        for gate in (d_i, d_f, d_g):
            gate.mul_(d_c)
        d_o.mul_(d_h)
        d_c.mul_(self._parts(self.gates[t])[1])

    def first(self, d_h: Tensor) -> Leaves:
        fresh = self.start[0].unsqueeze(1)
        return d_h[:, : self.H].masked_fill(fresh, 0), self.d_c.masked_fill(fresh, 0)


class ControllerGates(LSTMGates):
    """The gates of a controller, in the order i, f, o, g."""

    order: ClassVar = Order(g=3, o=2)
