"""Universal Transformer: one layer that each step applies as often as it needs."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.ops.attention import push, window
from memrl.memory.ops.halting import first_thought, goes_on, halt
from memrl.memory.parts.transformer import PostNormLayer
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register


class UniversalState(NamedTuple):
    """State of the Universal Transformer core."""

    memory: Tensor  # [B, N, M, D]  the last M inputs of every round, oldest first; zero: none yet
    age: Tensor  # [B]  steps of the episode so far, at most M
    ponder: Tensor  # [B]  ρ of the last step: its rounds plus the remainder
    cost: Tensor  # [B]  ponder_cost · ρ


class Block(PostNormLayer):
    """The one layer that every round applies."""

    def forward(self, x: Tensor, past: Tensor, visible: Tensor) -> Tensor:
        """Steps x [B, T, D] after M past inputs of the same round."""
        return self._join(x, self.attention(x, past, visible))


@final
@register("universal")
class UniversalTransformer(WindowMemory[UniversalState]):
    """A layer shared by all rounds n, with adaptive computation time for each step.

    s_n = Block(s_{n−1} + e_n, the inputs of round n at the last M steps);  h_n = σ(w·s_n + b);
    y = Σ p_n s_n, with p and the number of rounds from ``ops.halting``. A step that has halted is
    copied from round to round, so that later steps can attend to it. Relative attention encodes
    distances, and the learned e_n encodes rounds. The ponder cost is the core's ``cost``.

    At first every h_n is 1/N: all rounds run, with equal weights.

    Args:
        in_dim: width of the input features.
        max_steps: N, maximum of rounds; all are computed, a gradient reaches back N M steps.
        memory_len: M, past steps that a round sees.
        heads: of the attention.
        head_dim: width of a head.
        mlp_dim: hidden width of the position-wise network.
        hidden_dim: D, width of the stream and of the output.
        ponder_cost: τ, loss for each round of a step.
    """

    paper = "Dehghani et al. 2019, Universal Transformers; halting: Graves 2016"

    def __init__(
        self,
        in_dim: int,
        *,
        max_steps: Annotated[int, Ge(2)] = 3,
        memory_len: Annotated[int, Ge(1)] = 32,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 32,
        mlp_dim: Annotated[int, Ge(1)] = 256,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        ponder_cost: Annotated[float, Ge(0)] = 0.001,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.memory_len, self.horizon = memory_len, max_steps * memory_len
        self.ponder_cost = ponder_cost
        self.embed = nn.Linear(in_dim, hidden_dim)
        self.block = Block(hidden_dim, heads=heads, head_dim=head_dim, mlp_dim=mlp_dim)
        self.rounds = nn.Parameter(torch.randn(max_steps, hidden_dim) / math.sqrt(hidden_dim))
        self.halting = nn.Linear(hidden_dim, 1)
        nn.init.zeros_(self.halting.weight)
        nn.init.constant_(self.halting.bias, -math.log(max_steps - 1))

    def initial_state(self, batch_size: int) -> UniversalState:
        zeros = self.rounds.new_zeros
        return UniversalState(
            memory=zeros(batch_size, len(self.rounds), self.memory_len, self.out_dim),
            age=zeros(batch_size),
            ponder=zeros(batch_size),
            cost=zeros(batch_size),
        )

    def _project(self, x: Tensor) -> Tensor:
        return self.embed(x)  # type: ignore[no-any-return]

    def _attend(
        self, x: Tensor, state: UniversalState, age: Tensor
    ) -> tuple[Tensor, UniversalState, Tensor]:
        visible, next_age = window(age, self.memory_len), age[:, -1] + 1
        s, y, thought, memory = x, torch.zeros_like(x), first_thought(x), []
        for n, past in enumerate(state.memory.unbind(dim=1), 1):
            told = s + self.rounds[n - 1]
            memory.append(push(past, told, next_age))
            s = torch.where(goes_on(thought).unsqueeze(-1), self.block(told, past, visible), s)
            h = self.halting(s).squeeze(-1).sigmoid()
            p, thought = halt(h, thought, last=n == len(self.rounds))
            y = y + p.unsqueeze(-1) * s
        cost = self.ponder_cost * thought.ponder
        after = UniversalState(
            memory=torch.stack(memory, dim=1),
            age=next_age.clamp(max=self.memory_len),
            ponder=thought.ponder[:, -1],
            cost=cost[:, -1],
        )
        return y, after, cost

    def diagnostics(self, state: UniversalState) -> dict[str, Tensor]:
        return {"age": state.age, "ponder": state.ponder, "memory": state.memory[:, -1]}
