"""The elementwise part of a GRU over a sequence, with its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.memory.ops.gated import Gates, Given, Leaves
from memrl.memory.ops.host import steps_with_start


class GRUGates(Gates):
    """A GRU's gates r, z, n in torch; ``own`` is b_n, which the reset gate scales."""

    def __init__(self, given: Given) -> None:
        self.gates, self.start, (h,), (self.initial,), (self.bias_n,), self.h_in = given
        self.H = h.shape[1]
        self.hidden_n = h.new_empty(*self.start.shape, self.H)  # U_n h + b_n
        self.resets = [*steps_with_start(self.start), False]
        self._begin(0, h)

    def _begin(self, t: int, h: Tensor) -> None:
        """The state before step t, reset where an episode starts."""
        if self.resets[t]:
            torch.where(self.start[t].unsqueeze(1), self.initial, h, out=self.h_in[t])
        else:
            self.h_in[t].copy_(h)

    def _parts(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """Those of r and z, and that of n."""
        return gates[..., : 2 * self.H], gates[..., 2 * self.H :]

    def step(self, t: int, u: Tensor, h_out: Tensor) -> None:
        h = self.h_in[t]
        (rz, n), (u_rz, u_n) = self._parts(self.gates[t]), self._parts(u)
        r, z = rz.addmm_(h, u_rz).sigmoid_().chunk(2, dim=1)
        hidden_n = torch.addmm(self.bias_n, h, u_n, out=self.hidden_n[t])
        n.addcmul_(r, hidden_n).tanh_()
        self._begin(t + 1, torch.lerp(n, h, z, out=h_out[t]))  # (1 - z) n + z h

    def last(self) -> Leaves:
        return (self.h_in[-1],)

    def begin_reverse(self, d_last: tuple[Tensor | None, ...]) -> None:
        """Compute, for all steps, what does not depend on the incoming gradient."""
        r, z, n = self.gates.chunk(3, dim=2)
        self.d_gates = torch.empty_like(self.gates)  # factors of dh', then times dh'
        through_r, through_z, through_un = self.d_gates.chunk(3, dim=2)
        self.d_n = (1 - z).mul_(1 - n.square())  # of n before its tanh
        torch.mul(self.d_n, r, out=through_un)
        torch.mul(through_un, self.hidden_n, out=through_r).mul_(1 - r)
        torch.sub(self.h_in[:-1], n, out=through_z).mul_(z).mul_(1 - z)
        self.past = torch.zeros_like(self.h_in[0])  # what reaches h through z

    def reverse(self, t: int, d_h: Tensor, d_out: Tensor) -> None:
        d_h.add_(self.past)
        if self.resets[t + 1]:
            d_h.masked_fill_(self.start[t + 1].unsqueeze(1), 0)
        d_h.add_(d_out[t])
        self.d_gates[t].view(-1, 3, self.H).mul_(d_h.unsqueeze(1))
        self.d_n[t].mul_(d_h)
        torch.mul(d_h, self.gates[t, :, self.H : 2 * self.H], out=self.past)

    def first(self, d_h: Tensor) -> Leaves:
        return ((d_h + self.past).masked_fill(self.start[0].unsqueeze(1), 0),)

    def d_own(self) -> Leaves:
        return (self._parts(self.d_gates)[1].sum((0, 1)),)

    def d_inputs(self) -> Tensor:
        self._parts(self.d_gates)[1].copy_(self.d_n)  # r does not scale the input's part of n
        return self.d_gates
