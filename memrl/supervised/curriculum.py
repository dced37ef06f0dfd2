"""Which lengths a training batch may have: all of them, or longer ones when shorter are solved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, final

import torch
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict

from memrl.tasks.task import Task


class CurriculumConfig(BaseModel):
    """How lengths grow."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Literal["uniform", "grow"] = "uniform"
    threshold: Annotated[float, Gt(0), Le(1)] = 0.98  # accuracy over an iteration that solves it
    growth: Annotated[int, Ge(1)] | Literal["double"] = "double"  # of the longest length


@final
class Curriculum:
    """Lengths drawn evenly between a task's shortest and a longest that may grow.

    "grow" begins with the shortest and lengthens whenever an iteration's accuracy reaches the
    threshold; "uniform" allows all lengths from the first batch on.

    Attributes:
        longest: the longest length drawn at present.
    """

    def __init__(self, task: Task, config: CurriculumConfig, generator: torch.Generator) -> None:
        self._shortest, self._final = task.min_length, task.max_length
        self._config, self._generator = config, generator
        self.longest = self._final if config.kind == "uniform" else self._shortest

    @property
    def complete(self) -> bool:
        """Whether all lengths are drawn."""
        return self.longest == self._final

    def draw(self) -> int:
        """The length of the next batch."""
        bounds = self._shortest, self.longest + 1
        return int(torch.randint(*bounds, (), generator=self._generator))

    def update(self, accuracy: float) -> None:
        """Lengthen if an iteration of this ``accuracy`` solved the present lengths."""
        if self.complete or accuracy < self._config.threshold:
            return
        growth = self._config.growth
        longer = 2 * self.longest if growth == "double" else self.longest + growth
        self.longest = min(longer, self._final)

    def state_dict(self) -> dict[str, Any]:
        """What a continuation needs."""
        return {"longest": self.longest, "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.longest = state["longest"]
        self._generator.set_state(state["generator"])
