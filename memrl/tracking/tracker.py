"""Logs a run's metrics to metrics.csv and, if configured, to TensorBoard and W&B."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, final

from memrl.checkpoint.folder import Checkpoint
from memrl.run.directory import RunDirectory
from memrl.tracking.metrics_file import STEPS, MetricsFile, Row, unit_as_text
from memrl.tracking.wandb import Mode, WandbTracker


@final
class Tracker:
    """Writes one row per iteration to every destination.

    A full disk at metrics.csv, the record of the run, stops the run. If TensorBoard or W&B fail,
    one message is printed and the run continues.

    Opening a tracker removes the rows that a killed process logged after ``resume`` (all rows
    without ``resume``): they move from metrics.csv to ``metrics.cut-<n>.csv``, and TensorBoard
    hides them.

    Args:
        directory: of the run.
        config: the resolved configuration, shown by W&B.
        tensorboard: whether to write TensorBoard files.
        wandb: ``online``, ``offline`` or ``disabled``.
        project: name of the W&B project.
        group: name under which W&B shows the run with those that differ by their seed.
        tags: of the run at W&B, of 1 to 64 characters.
        unit: the column that counts experience.
        resume: the checkpoint that training continues from.
        say: receives sentences for the person at the terminal.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: Mapping[str, Any],
        *,
        tensorboard: bool = True,
        wandb: Mode = "disabled",
        project: str = "memrl",
        group: str | None = None,
        tags: Sequence[str] = (),
        unit: str = STEPS,
        resume: Checkpoint | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        experience = resume.experience if resume else 0
        self._say, self._unit = say, unit
        self._metrics = MetricsFile(directory.metrics, unit=unit)
        aside = self._metrics.cut(experience)
        if aside is not None:
            say(f"Rows after {experience:,} {unit_as_text(unit)} were moved to {aside}")
        self._wandb = WandbTracker(
            directory.path,
            mode=wandb,
            project=project,
            group=group,
            tags=tags,
            name=directory.path.name,
            config=config,
            unit=unit,
            run_id=resume.state["tracker"]["wandb_run_id"] if resume else None,
            say=say,
        )
        self._tensorboard: Any = None
        if tensorboard:
            self._tensorboard = self._guard(_open_tensorboard, directory.tensorboard, experience)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    def log(self, row: Row) -> None:
        """Write a row; the unit of experience is among its keys.

        Raises:
            RunError: the disk is full.
        """
        self._metrics.append(row)
        self._wandb.log(row)
        if self._tensorboard is not None:
            self._guard(self._log_tensorboard, row)

    def sync(self) -> None:
        """Sync all rows to disk; called before a checkpoint is written."""
        self._metrics.sync()

    def finish(
        self,
        *,
        pictures: Mapping[str, Path] | None = None,
        checkpoint: Path | None = None,
        summary: Mapping[str, float] | None = None,
    ) -> None:
        """Send what a run ends with to W&B and close all; a second call does nothing.

        Args:
            pictures: files by name; a GIF is a film, an HTML file a page.
            checkpoint: the last one.
            summary: the final evaluation.
        """
        self._wandb.finish(pictures or {}, checkpoint, summary or {})
        if self._tensorboard is not None:
            self._guard(self._tensorboard.close)
        self._tensorboard = None

    def state_dict(self) -> dict[str, Any]:
        """The id of the W&B run, which a resume needs."""
        return {"wandb_run_id": self._wandb.run_id}

    def _log_tensorboard(self, row: Row) -> None:
        for name, value in row.items():
            if name != self._unit and not math.isnan(value):
                self._tensorboard.add_scalar(name, value, int(row[self._unit]))

    def _guard(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:
            self._tensorboard = None
            self._say(f"TensorBoard failed and is off for the rest of this run: {error}")
            return None


@final
class SilentTracker:
    """Writes nothing: of several ranks one tracks."""

    def log(self, row: Row) -> None:
        pass

    def sync(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"wandb_run_id": None}


def _open_tensorboard(folder: Path, experience: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    # TensorBoard ignores the entries of earlier files in this folder from purge_step on.
    return SummaryWriter(str(folder), purge_step=experience + 1)
