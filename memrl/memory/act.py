"""ACT: a recurrent network that thinks about one input for as many steps as it needs."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.memory.ops.gated import init_gates
from memrl.memory.ops.halting import first_thought, halt
from memrl.memory.registry import register

HALTING_BIAS = 1.0  # b_h: thoughts are short at first, h = σ(1) = 0.73


class ACTState(NamedTuple):
    """What carries over from input to input."""

    h: Tensor  # [B, H]
    ponder: Tensor  # [B]  ρ of the last input: thoughts it took, and the remainder
    cost: Tensor  # [B]  ponder_cost · ρ


@final
@register("act")
class ACT(MemoryCore[ACTState]):
    """Adaptive computation time around a GRU.

    s_n = GRU([x, δ_{n1}], s_{n−1}), where δ tells the first thought about an input from the others;
    h_n = σ(w·s_n + b);  the next state and the output are Σ p_n s_n, with p and the number of
    thoughts from ``ops.halting``. The ponder cost is the core's ``cost``. The paper has a plain RNN
    or an LSTM in the GRU's place, and outputs W y_n: a linear layer behind this core is the same.

    Args:
        in_dim: width of the input features.
        max_steps: thoughts at most; all are computed.
        hidden_dim: H, width of the state and of the output.
        ponder_cost: τ, loss for every thought.
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
        self.input = nn.Linear(in_dim, 3 * hidden_dim)  # r, z, n
        self.first = nn.Parameter(torch.empty(3 * hidden_dim, 1))  # what δ is multiplied by
        self.hidden = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.halting = nn.Linear(hidden_dim, 1)
        init_gates(self.input.weight, self.hidden.weight)
        nn.init.xavier_uniform_(self.first)
        nn.init.zeros_(self.input.bias)
        nn.init.zeros_(self.hidden.bias)
        nn.init.constant_(self.halting.bias, HALTING_BIAS)

    def initial_state(self, batch_size: int) -> ACTState:
        zeros = self.first.new_zeros
        return ACTState(zeros(batch_size, self.out_dim), zeros(batch_size), zeros(batch_size))

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: ACTState) -> tuple[Tensor, ACTState]:
        s, y, thought = state.h, torch.zeros_like(state.h), first_thought(state.h)
        for n in range(1, self.max_steps + 1):
            s = self._think(x + self.first.squeeze(1) if n == 1 else x, s)
            h = self.halting(s).squeeze(-1).sigmoid()
            p, thought = halt(h, thought, last=n == self.max_steps)
            y = torch.addcmul(y, p.unsqueeze(-1), s)
        return y, ACTState(y, thought.ponder, self.ponder_cost * thought.ponder)

    def _think(self, x: Tensor, s: Tensor) -> Tensor:
        """A GRU's step from gates of the input [B, 3H]; its reset gate scales U_n s + b_n."""
        both = [2 * self.out_dim, self.out_dim]
        (x_rz, x_n), (s_rz, s_n) = (
            x.split_with_sizes(both, 1),
            self.hidden(s).split_with_sizes(both, 1),
        )
        r, z = (x_rz + s_rz).sigmoid().chunk(2, dim=1)
        return torch.lerp((x_n + r * s_n).tanh(), s, z)

    def diagnostics(self, state: ACTState) -> dict[str, Tensor]:
        return {"hidden": state.h, "ponder": state.ponder}
