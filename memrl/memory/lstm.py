"""LSTM: long short-term memory."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.kernels.choice import kernel_of
from memrl.memory.ops.gated import gated_sequence, init_gates, unbroken
from memrl.memory.ops.lstm import LSTMGates
from memrl.memory.registry import register


class LSTMState(NamedTuple):
    """State of the LSTM core."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]


@final
@register("lstm")
class LSTM(MemoryCore[LSTMState]):
    """Long short-term memory with forget gates, gates i, f, g, o in torch's order.

    i, f, o = σ(W x + U h + b);  g = tanh(·);  c' = f ∘ c + i ∘ g;  h' = o ∘ tanh(c').
    The output is h'. Recurrent weights start orthogonal per gate.

    Args:
        in_dim: width of the input features.
        hidden_dim: H, width of the state and of the output.
        forget_bias: where the forget gate's bias starts. At 0 the gate is half open, as in torch's
            layer; 1 keeps cells for longer at first (Jozefowicz et al. 2015).
    """

    paper = "Hochreiter & Schmidhuber 1997, Long Short-Term Memory; Gers et al. 2000 (forget gate)"
    autocasts = True

    def __init__(
        self,
        in_dim: int,
        *,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_dim, in_dim))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_dim))
        init_gates(self.weight_ih, self.weight_hh)
        with torch.no_grad():
            self.bias[hidden_dim : 2 * hidden_dim] = forget_bias

    def initial_state(self, batch_size: int) -> LSTMState:
        zeros = self.weight_hh.new_zeros
        return LSTMState(zeros(batch_size, self.out_dim), zeros(batch_size, self.out_dim))

    def _update(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        gates = F.linear(x, self.weight_ih, self.bias) + F.linear(state.h, self.weight_hh)
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.addcmul(f.sigmoid() * state.c, i.sigmoid(), g.tanh())
        h = o.sigmoid() * c.tanh()
        return h, LSTMState(h, c)

    def forward(self, x: Tensor, state: LSTMState, start: Tensor) -> Unrolled:
        cell = kernel_of(LSTMGates, x)
        if cell is LSTMGates and unbroken(start):
            return self._unbroken(x, self.reset(state, self.initial_state(1), start[0]))
        y, last = gated_sequence(cell, x, state, self.weight_ih, self.weight_hh, self.bias, start)
        return Unrolled(y, LSTMState(*last))

    def _unbroken(self, x: Tensor, state: LSTMState) -> Unrolled:
        """Torch's fused call, if no episode begins inside: faster than ``LSTMGates``."""
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        first = [state.h.unsqueeze(0), state.c.unsqueeze(0)]
        y, h, c = torch.lstm(x, first, weights, True, 1, 0.0, self.training, False, False)
        return Unrolled(y, LSTMState(h[0], c[0]))

    def diagnostics(self, state: LSTMState) -> dict[str, Tensor]:
        return {"hidden": state.h, "cell": state.c}
