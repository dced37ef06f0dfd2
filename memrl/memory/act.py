"""ACT: an LSTM that takes as many ponder steps for an input as it needs."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.memory.ops.gated import init_gates
from memrl.memory.ops.halting import first_thought, halt
from memrl.memory.ops.lstm import lstm_cell
from memrl.memory.registry import register

HALTING_BIAS = 1.0  # b: few ponder steps at first, σ(1) = 0.73


class ACTState(NamedTuple):
    """State of the ACT core."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]
    ponder: Tensor  # [B]  ρ of the last input: its ponder steps plus the remainder
    cost: Tensor  # [B]  ponder_cost · ρ


@final
@register("act")
class ACT(MemoryCore[ACTState]):
    """Adaptive computation time around an LSTM.

    s_n = LSTM([x, δ_{n1}], s_{n−1}) with s = (h, c), where δ marks the first ponder step;
    a_n = σ(w·h_n + b);  the next state is Σ p_n s_n, where ``ops.halting`` computes the weights p
    and the number of ponder steps from a. The output is the h of that state; the paper's Σ p_n y_n
    is a linear layer of it. The ponder cost is the core's ``cost``. Forget biases start at 1.

    Args:
        in_dim: width of the input features.
        max_steps: maximum of ponder steps; all of them are computed.
        hidden_dim: H, width of the state and of the output.
        ponder_cost: τ, loss for each ponder step.
    """

    paper = "Graves 2016, Adaptive Computation Time for Recurrent Neural Networks"

    def __init__(
        self,
        in_dim: int,
        *,
        max_steps: Annotated[int, Ge(2)] = 8,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        ponder_cost: Annotated[float, Ge(0)] = 0.001,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.max_steps, self.ponder_cost = max_steps, ponder_cost
        self.input = nn.Linear(in_dim, 4 * hidden_dim)  # i, f, o, g
        self.first = nn.Parameter(torch.empty(4 * hidden_dim, 1))  # the weight of δ
        self.hidden = nn.Linear(hidden_dim, 4 * hidden_dim, bias=False)
        self.halting = nn.Linear(hidden_dim, 1)
        init_gates(self.input.weight, self.hidden.weight)
        nn.init.xavier_uniform_(self.first)
        nn.init.zeros_(self.input.bias)
        nn.init.ones_(self.input.bias[hidden_dim : 2 * hidden_dim].detach())
        nn.init.constant_(self.halting.bias, HALTING_BIAS)

    def initial_state(self, batch_size: int) -> ACTState:
        zeros = self.first.new_zeros
        h, c = zeros(batch_size, self.out_dim), zeros(batch_size, self.out_dim)
        return ACTState(h, c, zeros(batch_size), zeros(batch_size))

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: ACTState) -> tuple[Tensor, ACTState]:
        h, c, thought = state.h, state.c, first_thought(state.h)
        mean_h, mean_c = torch.zeros_like(h), torch.zeros_like(c)
        for n in range(1, self.max_steps + 1):
            gates = x + self.first.squeeze(1) if n == 1 else x
            h, c = lstm_cell(gates + self.hidden(h), c)
            a = self.halting(h).squeeze(-1).sigmoid()
            p, thought = halt(a, thought, last=n == self.max_steps)
            mean_h = torch.addcmul(mean_h, p.unsqueeze(-1), h)
            mean_c = torch.addcmul(mean_c, p.unsqueeze(-1), c)
        cost = self.ponder_cost * thought.ponder
        return mean_h, ACTState(mean_h, mean_c, thought.ponder, cost)

    def diagnostics(self, state: ACTState) -> dict[str, Tensor]:
        return {"hidden": state.h, "cell": state.c, "ponder": state.ponder}
