"""GRU: the gated recurrent unit."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.kernels.choice import kernel_of
from memrl.memory.ops.gated import gated_sequence, init_gates, unbroken
from memrl.memory.ops.gru import GRUGates
from memrl.memory.registry import register


class GRUState(NamedTuple):
    """State of the GRU core."""

    h: Tensor  # [B, H]


@final
@register("gru")
class GRU(MemoryCore[GRUState]):
    """Gated recurrent unit in torch's form: the reset gate scales U_n h + b_hn.

    r, z = σ(W x + b + U h + b_h);  n = tanh(W_n x + b_n + r ∘ (U_n h + b_hn));
    h' = (1 - z) ∘ n + z ∘ h. The output is h'. Recurrent weights start orthogonal per gate.
    """

    paper = "Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder"
    autocasts = True

    def __init__(self, in_dim: int, *, hidden_dim: Annotated[int, Ge(1)] = 128) -> None:
        super().__init__(in_dim, hidden_dim)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_dim, in_dim))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_dim, hidden_dim))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden_dim))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden_dim))
        init_gates(self.weight_ih, self.weight_hh)

    def initial_state(self, batch_size: int) -> GRUState:
        return GRUState(self.weight_hh.new_zeros(batch_size, self.out_dim))

    def _update(self, x: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        H = self.out_dim
        gates_x = F.linear(x, self.weight_ih, self.bias_ih)
        gates_h = F.linear(state.h, self.weight_hh, self.bias_hh)
        r, z = (gates_x[:, : 2 * H] + gates_h[:, : 2 * H]).sigmoid().chunk(2, dim=1)
        n = torch.addcmul(gates_x[:, 2 * H :], r, gates_h[:, 2 * H :]).tanh()
        h = torch.lerp(n, state.h, z)
        return h, GRUState(h)

    def forward(self, x: Tensor, state: GRUState, start: Tensor) -> Unrolled:
        if x.is_cuda and unbroken(start):
            return self._unbroken(x, self.reset(state, self.initial_state(1), start[0]))
        bias_rz, bias_n = self.bias_hh.split_with_sizes([2 * self.out_dim, self.out_dim])
        bias = self.bias_ih + F.pad(bias_rz, (0, self.out_dim))
        cell, weights = kernel_of(GRUGates, x), (self.weight_ih, self.weight_hh, bias)
        y, last = gated_sequence(cell, x, state, *weights, start, (bias_n,))
        return Unrolled(y, GRUState(*last))

    def _unbroken(self, x: Tensor, state: GRUState) -> Unrolled:
        """Torch's fused call, for GPUs; on a CPU ``gated_sequence`` is faster."""
        weights: list[Tensor] = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        first = state.h.unsqueeze(0)
        y, h = torch.gru(x, first, weights, True, 1, 0.0, self.training, False, False)
        return Unrolled(y, GRUState(h[0]))

    def diagnostics(self, state: GRUState) -> dict[str, Tensor]:
        return {"hidden": state.h}
