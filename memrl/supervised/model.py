"""The model of a supervised task: encoder → core → head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from memrl.memory import registry
from memrl.memory.core import MemoryCore
from memrl.memory.parts.slots import Slotted
from memrl.tasks.task import Task


class ModelOutput(NamedTuple):
    """A model's outputs for a sequence."""

    logits: Tensor  # [T, B, O]
    cost: Tensor | None  # [T, B]  the core's own loss


@final
class SequenceModel(nn.Module):
    """A memory between a task's encoder and its head."""

    def __init__(self, encoder: nn.Module, core: MemoryCore[Any], head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.core, self.head = encoder, core, head

    def forward(self, x: Tensor, start: Tensor) -> ModelOutput:
        """Outputs for x [T, B, ...]; ``start`` [T, B] is True at the first steps of sequences."""
        state = self.core.initial_state(x.shape[1])
        unrolled = self.core(self.encoder(x), state, start)
        return ModelOutput(self.head(unrolled.y), unrolled.cost)

    @torch.no_grad()
    def watch(self, x: Tensor, start: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Run step by step; returns logits [T, B, O] and the memory's diagnostics at each step."""
        features, state = self.encoder(x), self.core.initial_state(x.shape[1])
        outputs, diagnostics = [], []
        for x_t, start_t in zip(features, start, strict=True):
            y, state = self.core.step(x_t, state, start_t)
            outputs.append(y)
            diagnostics.append(self.core.diagnostics(state))
        return self.head(torch.stack(outputs)), diagnostics

    @torch.no_grad()
    def fullness(self, x: Tensor, start: Tensor) -> float:
        """The share of slots that the fullest sequence uses at its fullest step."""
        assert isinstance(self.core, Slotted)
        state = self.core.initial_state(x.shape[1])
        fullest = []
        for x_t, start_t in zip(self.encoder(x), start, strict=True):
            _, state = self.core.step(x_t, state, start_t)
            fullest.append(self.core.fullness(state).amax())
        return float(torch.stack(fullest).amax())


def build_model(task: Task, memory: Mapping[str, Any]) -> SequenceModel:
    """A new model; ``memory`` is a name and that memory's options.

    Raises:
        ValueError: a memory or an option is unknown, or options do not fit each other.
    """
    options = {key: value for key, value in memory.items() if key != "name"}
    core = registry.build(memory["name"], task.in_dim, options)
    return SequenceModel(task.encoder(), core, task.head(core))
