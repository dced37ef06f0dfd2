"""Learning rates: those of the schedule, or those that a user wrote into the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch.optim import Optimizer


@final
class LearningRates:
    """Writes a schedule's value into the groups of an optimiser.

    A group whose ``lr`` was changed from outside keeps it until `follow_schedule`.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._own: set[int] = set()
        self._written: list[float] | None = self._present()

    def follow_schedule(self) -> None:
        """Let the next `update` write into every group, whatever its present rate."""
        self._own, self._written = set(), None

    def update(self, schedule: Callable[[float], float], progress_remaining: float) -> float:
        """Write the schedule's value; returns the rate of the first group."""
        if self._written is not None:
            pairs = enumerate(zip(self._present(), self._written, strict=True))
            self._own |= {index for index, (now, before) in pairs if now != before}
        for index, group in enumerate(self.optimizer.param_groups):
            if index not in self._own:
                group["lr"] = float(schedule(progress_remaining))
        self._written = self._present()
        return self._written[0]

    def _present(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]
