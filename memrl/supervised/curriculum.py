"""The lengths of training batches: all of them, or longer ones once shorter are solved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, final

import torch
from annotated_types import Ge, Gt, Le
from pydantic import model_validator

from memrl.options import Strict, need_reader
from memrl.tasks.task import Task


class CurriculumConfig(Strict):
    """The options of a curriculum."""

    kind: Literal["uniform", "grow"] = "uniform"
    threshold: Annotated[float, Gt(0), Le(1)] = (
        0.98  # accuracy over an iteration that counts as solved
    )
    growth: Annotated[int, Ge(1)] | Literal["double"] = (
        "double"  # added to the longest length; or it doubles
    )

    READ_BY: ClassVar[dict[str, tuple[str, ...]]] = {"threshold": ("grow",), "growth": ("grow",)}

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> CurriculumConfig:
        need_reader(self, self.kind, "curriculum", self.READ_BY)
        return self


@final
class Curriculum:
    """Draws lengths uniformly from the task's shortest length to ``longest``.

    "grow" begins with the shortest length only and increases ``longest`` whenever an iteration's
    accuracy reaches the threshold. "uniform" uses all lengths from the beginning.

    Attributes:
        longest: the longest length at present.
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
        """Increase ``longest`` if an iteration's ``accuracy`` reaches the threshold."""
        if self.complete or accuracy < self._config.threshold:
            return
        growth = self._config.growth
        longer = 2 * self.longest if growth == "double" else self.longest + growth
        self.longest = min(longer, self._final)

    def state_dict(self) -> dict[str, Any]:
        """The state that a continuation needs."""
        return {"longest": self.longest, "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.longest = state["longest"]
        self._generator.set_state(state["generator"])
