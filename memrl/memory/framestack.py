"""Frame stack: the last few features side by side."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.ops.last_steps import last_steps
from memrl.memory.registry import register


class FrameStackState(NamedTuple):
    """State of the frame stack: the previous features, oldest first."""

    past: Tensor  # [B, frames - 1, I]  zero before the episode's start


@final
@register("framestack")
class FrameStack(MemoryCore[FrameStackState]):
    """A ReLU layer of the last ``frames`` features, zeros before the episode's start."""

    paper = "Mnih et al. 2015, Human-level control through deep reinforcement learning"

    def __init__(
        self,
        in_dim: int,
        *,
        frames: Annotated[int, Ge(2)] = 4,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.frames = frames
        self.horizon = frames - 1
        self.output = nn.Linear(frames * in_dim, hidden_dim)

    def initial_state(self, batch_size: int) -> FrameStackState:
        zeros = self.output.weight.new_zeros
        return FrameStackState(zeros(batch_size, self.frames - 1, self.in_dim))

    def _update(self, x: Tensor, state: FrameStackState) -> tuple[Tensor, FrameStackState]:
        stack = torch.cat([state.past, x.unsqueeze(1)], dim=1)  # [B, F, I]
        return self.output(stack.flatten(1)).relu(), FrameStackState(stack[:, 1:])

    def forward(self, x: Tensor, state: FrameStackState, start: Tensor) -> Unrolled:
        stack = last_steps(state.past, x, start).mT  # [T, B, F, I]
        y = self.output(stack.flatten(2)).relu()
        return Unrolled(y, FrameStackState(stack[-1, :, 1:]))

    def diagnostics(self, state: FrameStackState) -> dict[str, Tensor]:
        return {"past": state.past}
