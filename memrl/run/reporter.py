"""Who hears of a run's checkpoints while it is trained: a search, or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol, final, runtime_checkable

from memrl.tracking.metrics_file import Row


class Saved(NamedTuple):
    """A checkpoint that was written."""

    path: Path
    experience: int  # env steps or sequences
    score: float | None  # mean success or return since the checkpoint before; None if not known
    row: Row  # of metrics.csv, the last one


@runtime_checkable
class Reporter(Protocol):
    """Asks for checkpoints, and hears of them; may raise to end training."""

    def is_due(self, before: int, now: int) -> bool:
        """Whether to save at an experience of ``now``; the last checkpoint is at ``before``."""

    def saved(self, checkpoint: Saved) -> None:
        """A checkpoint was written."""


@final
class NoReporter:
    """Asks for nothing."""

    def is_due(self, before: int, now: int) -> bool:
        return False

    def saved(self, checkpoint: Saved) -> None:
        pass
