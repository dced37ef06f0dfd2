"""DND: a differentiable dictionary of the last inputs, read at the keys nearest to a query."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.attention import push
from memrl.memory.ops.kernel import distances, kernel_weights, pick
from memrl.memory.ops.largest import first_largest
from memrl.memory.ops.nonfinite import with_nan
from memrl.memory.ops.window import Window, look_back, windows
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register


class DNDState(NamedTuple):
    """State of the DND core; all zero at the start of an episode."""

    items: Tensor  # [B, N, K + V]  keys and values of the last N inputs, oldest first
    age: Tensor  # [B]  steps of the episode so far, at most N
    read_weights: Tensor  # [B, N]  of the last step, oldest item first; only for plots


@final
@register("dnd")
class DND(WindowMemory[DNDState]):
    """NEC's differentiable neural dictionary as a memory of an episode.

    A step reads, then writes. It reads r = Σ w_i v_i over the p nearest keys, with
    w_i = k(h, h_i) / Σ_j k(h, h_j) and k(h, h') = 1 / (‖h − h'‖² + δ). It writes the embedding h of
    its input as a key and another projection v as the value. y = ReLU(W_x x + W_r r); an empty
    dictionary reads zeros. Keys, values and h get gradients; the choice of the nearest keys has
    none. Of equally near keys the older one comes first.

    In NEC a dictionary outlives the episode, holds returns and updates the value of an existing
    key; a full one replaces the least recently retrieved item. Here it holds features of one
    episode, every input is a new item, and the oldest is replaced. So a step does not depend on
    earlier reads, and a sequence needs no loop. Gradients reach back N steps, if p < N only to the
    nearest items.

    Args:
        in_dim: width of the input features.
        slots: N, inputs that are remembered.
        key_dim: K, width of the embedding.
        value_dim: V, width of a value.
        neighbours: p, the number of nearest keys that a step reads; at most ``slots`` count.
        delta: δ, the squared distance at which the kernel has half of its maximum.
        hidden_dim: width of the output.
    """

    paper = "Pritzel et al. 2017, Neural Episodic Control"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 50,
        key_dim: Annotated[int, Ge(1)] = 32,
        value_dim: Annotated[int, Ge(1)] = 32,
        neighbours: Annotated[int, Ge(1)] = 50,
        delta: Annotated[float, Gt(0)] = 1e-3,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.horizon = self.slots = slots
        self.neighbours, self.delta = min(neighbours, slots), delta
        self.split = [key_dim, value_dim]
        self.widths = [key_dim + value_dim, hidden_dim]
        self.input = nn.Linear(in_dim, sum(self.widths))  # h, v; W_x x
        self.output = nn.Linear(value_dim, hidden_dim, bias=False)  # W_r
        for block in self.input.weight.detach().split([*self.split, hidden_dim]):  # type: ignore[no-untyped-call]
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.input.bias)
        nn.init.xavier_uniform_(self.output.weight)

    def initial_state(self, batch_size: int) -> DNDState:
        zeros = self.output.weight.new_zeros
        return DNDState(
            items=zeros(batch_size, self.slots, self.widths[0]),
            age=zeros(batch_size),
            read_weights=zeros(batch_size, self.slots),
        )

    def _attend(self, x: Tensor, state: DNDState, age: Tensor) -> tuple[Tensor, DNDState, None]:
        new, of_x = torch.split(self.input(x), self.widths, dim=-1)
        query, next_age = new[..., : self.split[0]], age[:, -1] + 1
        window = look_back(state.items, new, age)
        nearest, place, found = self._nearest(query, window)
        keys, values = torch.split(nearest, self.split, dim=-1)
        weights = kernel_weights(query, keys, found, self.delta)  # [B, T, p]
        read = torch.matmul(weights.unsqueeze(2), values).squeeze(2)  # r [B, T, V]
        y = (of_x + self.output(read)).relu()
        everywhere = torch.zeros_like(window.visible, dtype=weights.dtype)
        after = DNDState(
            items=push(state.items, new, next_age),
            age=next_age.clamp(max=self.slots),
            read_weights=everywhere.scatter_add(2, place, weights.detach())[:, -1],
        )
        return with_nan(y, window.nonfinite), after, None

    def _nearest(self, query: Tensor, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """The p nearest items of every step [B, T, p, K + V], their places, and which exist."""
        if self.neighbours == self.slots:
            places = torch.arange(self.slots, device=query.device)
            return (
                windows(window.items, self.slots),
                places.expand_as(window.visible),
                window.visible,
            )
        near = -distances(query, window.items[..., : query.shape[-1]])
        best, place = first_largest(torch.where(window.visible, near, -torch.inf), self.neighbours)
        return pick(window.items, place), place, best > -torch.inf

    def diagnostics(self, state: DNDState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "age": state.age,
            "read_entropy": entropy(state.read_weights),
        }
