"""Encoder → core → head: what a supervised task trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from memrl.memory import registry
from memrl.memory.core import MemoryCore
from memrl.tasks.task import Task


class Answer(NamedTuple):
    """What a model says of a sequence."""

    logits: Tensor  # [T, B, O]
    cost: Tensor | None  # [T, B]  the core's own loss


@final
class SequenceModel(nn.Module):
    """A memory between a task's encoder and its head."""

    def __init__(self, encoder: nn.Module, core: MemoryCore[Any], head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.core, self.head = encoder, core, head

    def forward(self, x: Tensor, start: Tensor) -> Answer:
        """Sequences [T, B, ...] whose ``start`` [T, B] is True where one opens, from the first."""
        state = self.core.initial_state(x.shape[1])
        unrolled = self.core(self.encoder(x), state, start)
        return Answer(self.head(unrolled.y), unrolled.cost)

    @torch.no_grad()
    def watch(self, x: Tensor, start: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Step by step: logits [T, B, O] and, for each step, the diagnostics of the memory."""
        features, state = self.encoder(x), self.core.initial_state(x.shape[1])
        outputs, seen = [], []
        for x_t, start_t in zip(features, start, strict=True):
            y, state = self.core.step(x_t, state, start_t)
            outputs.append(y)
            seen.append(self.core.diagnostics(state))
        return self.head(torch.stack(outputs)), seen


def build_model(task: Task, memory: Mapping[str, Any]) -> SequenceModel:
    """A model that has learned nothing yet; ``memory`` is a name and that memory's options.

    Raises:
        ValueError: a memory or an option that is not known, or options that do not fit.
    """
    options = {key: value for key, value in memory.items() if key != "name"}
    core = registry.build(memory["name"], task.in_dim, options)
    return SequenceModel(task.encoder(), core, task.head(core))
