"""No memory: the baseline that every memory has to beat."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.registry import register


class NoState(NamedTuple):
    """An empty state."""


@final
@register("none")
class NoMemory(MemoryCore[NoState]):
    """A tanh layer of the present features, as wide as the memories it replaces, and as bounded."""

    horizon = 0

    def __init__(self, in_dim: int, *, hidden_dim: Annotated[int, Ge(1)] = 128) -> None:
        super().__init__(in_dim, hidden_dim)
        self.output = nn.Linear(in_dim, hidden_dim)
        nn.init.orthogonal_(self.output.weight, math.sqrt(2.0))  # as is common for PPO
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch_size: int) -> NoState:
        return NoState()

    def _update(self, x: Tensor, state: NoState) -> tuple[Tensor, NoState]:
        return self.output(x).tanh(), state

    def forward(self, x: Tensor, state: NoState, start: Tensor) -> Unrolled:
        return Unrolled(self.output(x).tanh(), state)
