"""DMN: the last inputs are facts, and the present one is a question to them, in several passes."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.attention import push
from memrl.memory.ops.episodic import attention_walk, walk
from memrl.memory.ops.gated import init_gates
from memrl.memory.ops.nonfinite import with_nan
from memrl.memory.ops.window import look_back, weigh
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register


class DMNState(NamedTuple):
    """State of the DMN core; all zero at the start of an episode."""

    facts: Tensor  # [B, N, D]  the last N embedded inputs, oldest first
    age: Tensor  # [B]  steps of the episode so far, at most N
    read_weights: Tensor  # [B, P, N]  of each pass at the last step, oldest fact first; for plots


class Gates(nn.Module):
    """The weights of a recurrent cell; ``forward`` computes the facts' part of its gates."""

    def __init__(self, dim: int, *, gates: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(gates * dim, dim))
        self.weight_hh = nn.Parameter(torch.empty(gates * dim, dim))
        self.bias = nn.Parameter(torch.zeros(gates * dim))
        self.bias_n = nn.Parameter(torch.zeros(dim))  # within the reset gate
        init_gates(self.weight_ih, self.weight_hh)

    def forward(self, facts: Tensor) -> Tensor:
        """[..., D] -> [..., gates x D]."""
        return F.linear(facts, self.weight_ih, self.bias)


@final
@register("dmn")
class DMN(WindowMemory[DMNState]):
    """Dynamic memory network, DMN+: fused facts, and an episodic memory refined in passes.

    A GRU in each direction fuses the facts, f_i = f→_i + f←_i. Pass t attends to them,
    z_i = [f_i ∘ q, f_i ∘ m, |f_i − q|, |f_i − m|], g = softmax_i W₂ tanh(W₁ z_i + b₁), and runs a
    GRU over them, h_i = g_i h̃_i + (1 − g_i) h_{i−1}; its last state is the context c. Then
    m ← ReLU(W^t [m; c; q] + b^t), with a W^t for each pass, from m = q. (b₂ would cancel in the
    softmax.) The output is linear in [m; q]. In the paper, facts are sentences. Here they are
    linear in the last N inputs, without the present one, and q is the tanh of a linear map of the
    present one. Where no fact is visible, c = 0.

    Args:
        in_dim: width of the input features.
        slots: N, facts: past env steps that a step sees; a gradient reaches back N steps.
        word_dim: D, width of facts, question and memory.
        passes: P, over the facts; the cost of a step grows with slots x (2 + passes).
        hidden_dim: width of the output.
    """

    paper = (
        "Xiong, Merity & Socher 2016, "
        "Dynamic Memory Networks for Visual and Textual Question Answering"
    )

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 40,
        word_dim: Annotated[int, Ge(1)] = 32,
        passes: Annotated[int, Ge(1)] = 3,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.horizon = self.slots = slots
        dim = self.word_dim = word_dim
        self.input = nn.Linear(in_dim, 2 * dim)  # a fact, and q
        self.onward, self.back = Gates(dim, gates=3), Gates(dim, gates=3)
        self.by_question = nn.Linear(2 * dim, dim)  # W₁ of f ∘ q and |f − q|, b₁
        self.by_memory = nn.Linear(2 * dim, dim, bias=False)  # W₁ of f ∘ m and |f − m|
        self.look = nn.Linear(dim, 1, bias=False)  # W₂
        self.attention = Gates(dim, gates=2)  # r, h̃
        self.memories = nn.ModuleList(nn.Linear(3 * dim, dim) for _ in range(passes))  # W^t
        self.output = nn.Linear(2 * dim, hidden_dim)
        for layer in (self.by_question, self.by_memory, self.look, self.output, *self.memories):
            nn.init.xavier_uniform_(layer.weight)
        for block in self.input.weight.detach().chunk(2):
            nn.init.xavier_uniform_(block)
        for layer in (self.input, self.by_question, self.output, *self.memories):
            nn.init.zeros_(layer.bias)

    def initial_state(self, batch_size: int) -> DMNState:
        zeros = self.output.weight.new_zeros
        return DMNState(
            facts=zeros(batch_size, self.slots, self.word_dim),
            age=zeros(batch_size),
            read_weights=zeros(batch_size, len(self.memories), self.slots),
        )

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, state: DMNState, age: Tensor) -> tuple[Tensor, DMNState, None]:
        new, question = x.chunk(2, dim=-1)
        question, next_age = question.transpose(0, 1).tanh(), age[:, -1] + 1  # time first
        window = look_back(state.facts, new, age)
        visible = window.visible.permute(2, 1, 0)  # [N, T, B]
        facts = self._fuse(window.items.transpose(0, 1), visible)
        memory, looks = self._passes(facts, question, window.visible)
        after = DMNState(
            facts=push(state.facts, new, next_age),
            age=next_age.clamp(max=self.slots),
            read_weights=torch.stack([look[:, -1] for look in looks], dim=1).detach(),
        )
        memory = with_nan(memory, window.nonfinite.transpose(0, 1))
        return torch.cat([memory, question], dim=-1).transpose(0, 1), after, None

    def _fuse(self, items: Tensor, visible: Tensor) -> Tensor:
        """f_i [N, T, B, D] of the window of every step, zeros where nothing is visible."""
        both = [
            walk(cell(items), visible, cell.weight_hh, cell.bias_n, back=back)
            for cell, back in ((self.onward, False), (self.back, True))
        ]
        return torch.where(visible.unsqueeze(-1), both[0] + both[1], 0)

    def _passes(
        self, facts: Tensor, question: Tensor, visible: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The memory m after the last pass [T, B, D], and g of every pass [B, T, N]."""
        seen_by_question = self.by_question(_likeness(facts, question))
        gates, cell = self.attention(facts), self.attention
        memory, looks = question, []
        for refine in self.memories:
            hidden = seen_by_question + self.by_memory(_likeness(facts, memory))
            logits = self.look(hidden.tanh()).squeeze(-1)  # [N, T, B]
            looks.append(weigh(logits.permute(2, 1, 0), visible))  # g
            g = looks[-1].permute(2, 1, 0)
            context = attention_walk(gates, g, cell.weight_hh, cell.bias_n)  # c^t
            memory = refine(torch.cat([memory, context, question], dim=-1)).relu()
        return memory, looks

    def diagnostics(self, state: DMNState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "age": state.age,
            "read_entropy": entropy(state.read_weights),
        }


def _likeness(facts: Tensor, other: Tensor) -> Tensor:
    """[f ∘ o, |f − o|] of every fact [N, T, B, D]."""
    return torch.cat([facts * other, (facts - other).abs()], dim=-1)
