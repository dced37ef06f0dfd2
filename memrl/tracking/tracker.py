"""Where a run's numbers go: metrics.csv always, TensorBoard and W&B if wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, final

from memrl.checkpoint.folder import Checkpoint
from memrl.run.directory import RunDirectory
from memrl.tracking.metrics_file import STEPS, MetricsFile, Row, spoken
from memrl.tracking.wandb import Mode, WandbTracker


@final
class Tracker:
    """Writes one row per iteration to every place.

    metrics.csv is the record of the run: a full disk there stops the run. TensorBoard and W&B are
    a service: when they fail, they say so once and the run goes on.

    Opening a tracker cuts what an earlier, killed process logged after ``resume`` (or all of it
    without one): from metrics.csv into ``metrics.cut-<n>.csv``, and out of TensorBoard's view.

    Args:
        directory: of the run.
        config: the resolved configuration, shown by W&B.
        tensorboard: whether to write TensorBoard files.
        wandb: ``online``, ``offline`` or ``disabled``.
        project: name of the W&B project.
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
        unit: str = STEPS,
        resume: Checkpoint | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        experience = resume.experience if resume else 0
        self._say, self._unit = say, unit
        self._metrics = MetricsFile(directory.metrics, unit=unit)
        aside = self._metrics.cut(experience)
        if aside is not None:
            say(f"Rows after {experience:,} {spoken(unit)} are set aside in {aside}")
        self._wandb = WandbTracker(
            directory.path,
            mode=wandb,
            project=project,
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
        """Have all rows on disk, before a checkpoint is written."""
        self._metrics.sync()

    def finish(self, *, episode: Path | None = None, checkpoint: Path | None = None) -> None:
        """Send the last things to W&B and close everything; a second call does nothing."""
        self._wandb.finish(episode, checkpoint)
        if self._tensorboard is not None:
            self._guard(self._tensorboard.close)
        self._tensorboard = None

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs: the id of the W&B run."""
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
            self._say(f"TensorBoard failed and is off for this run, which goes on: {error}")
            return None


def _open_tensorboard(folder: Path, experience: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    # TensorBoard drops what earlier files of this folder hold from purge_step on.
    return SummaryWriter(str(folder), purge_step=experience + 1)
