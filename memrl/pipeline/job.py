"""The steps that ``memrl train`` and ``memrl fit`` share: open the directory, learn, summarise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any, Generic, TypeAlias, TypeVar, final

import torch

from memrl.checkpoint.folder import Checkpoint
from memrl.config.models import Common
from memrl.distributed.collectives import rank
from memrl.errors import Interrupted, RankLost, RunError
from memrl.pipeline.build import compile_memory
from memrl.pipeline.directories import finished, open_directory, restarted
from memrl.pipeline.inheritance import Weights, weights_of
from memrl.pipeline.labels import group_of, headline, tags_of
from memrl.pipeline.loading import checkpoints_of
from memrl.pipeline.ranks import same_directory
from memrl.run.agent import Learner
from memrl.run.directory import RunDirectory
from memrl.run.loop import TrainingResult, fit
from memrl.run.progress import SilentProgress, Style, progress_bar
from memrl.run.reporter import Reporter
from memrl.run.summary import provenance, write_summary
from memrl.tracking.tracker import SilentTracker, Tracker

Say: TypeAlias = Callable[[str], None]
C = TypeVar("C", bound=Common)
L = TypeVar("L", bound=Learner)


@final
@dataclass(frozen=True)
class Result(Generic[L]):
    """A finished run."""

    directory: RunDirectory
    summary: dict[str, Any]  # the content of summary.json
    learner: L  # in its state at the end of training

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.directory.path


class Job(ABC, Generic[C, L]):
    """The steps in which ``memrl train`` and ``memrl fit`` differ; `run` has the common ones.

    Constructors build the learner, so that errors are raised before any file is written.

    Attributes:
        config: of the run.
        learner: a new one, not yet trained.
        core: the memory that ``compile=true`` compiles; None if there is none.
        device: of the learner.
        inherited: what ``take_weights`` took; None before.
    """

    inherited: str | None = None
    config: C
    learner: L
    core: object
    device: torch.device

    @property
    def data(self) -> dict[str, str]:
        """Digests of the files that are learned from, by their paths."""
        return {}

    def take_weights(self) -> None:
        """Begin with the weights of the run ``init``, where one is configured, and only once.

        Raises:
            RunError: there is no such run, or nothing of it fits.
        """
        if self.config.init is not None and self.inherited is None:
            self.inherited = self.inherit(weights_of(self.config.init))

    @abstractmethod
    def inherit(self, weights: Weights) -> str:
        """Begin with these weights, as far as they fit; a line says what was taken.

        Raises:
            RunError: nothing fits.
        """

    @abstractmethod
    def notice(self, start: int) -> str | None:
        """A message before learning begins at an experience of ``start``, or None."""

    @abstractmethod
    def conclude(
        self, directory: RunDirectory, trained: TrainingResult, say: Say
    ) -> dict[str, Any]:
        """Evaluate and draw; returns the results for summary.json."""


@contextmanager
def faults_told(say: Say) -> Iterator[None]:
    """Say why a picture cannot be drawn: the evaluation is worth more than its pictures."""
    try:
        yield
    except RunError as error:  # if the disk is full, the summary raises
        say(str(error))


def whole_parts(key: str, total: int, start: int, part: str, size: int, unit: str) -> str | None:
    """A sentence if learning goes on beyond ``total`` to the end of a part, else None.

    ``start`` is the experience so far, ``size`` that of one part, both counted in ``unit``.
    """
    remaining = total - start
    if remaining <= 0 or remaining % size == 0:
        return None
    parts = math.ceil(remaining / size)
    more = "more " if start else ""
    plural = "s" if parts > 1 else ""
    return f"{key}={total} is reached after {parts:,} {more}{part}{plural} of {size:,} {unit}"


def run(
    job: Job[C, L],
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
    reporter: Reporter | None = None,
) -> Result[L]:
    """Learn, evaluate, draw and write a summary.

    Args:
        job: the steps of the command.
        target: the directory of a new run, by default ``run.dir`` or a new name under
            ``run.root``; an opened ``RunDirectory`` is continued from its last checkpoint.
        style: of the progress display: auto, bar, lines or quiet.
        say: receives messages for the terminal.
        reporter: hears of each checkpoint.

    With several ranks, rank 0 alone writes, speaks, and does what follows learning.

    Raises:
        RunError: the directory is not empty or is being trained, the disk is full, learning
            diverged, a run to be continued has no intact checkpoint, or that of ``init`` has
            nothing to take.
        Interrupted: a signal arrived; a checkpoint was saved first.
    """
    config, learner = job.config, job.learner
    if rank():
        return _follow(job, reporter)
    if config.compile:
        compile_memory(job.core, say)
    target = target or restarted(config)
    new = not isinstance(target, RunDirectory)
    if new:
        _inherit(job, say)  # before a directory is made: what does not fit leaves nothing behind
    data = job.data
    with open_directory(config, target, learner.unit, say, data=data) as (directory, resume):
        if resume is None and not new:
            _inherit(job, say)  # it was stopped before its first checkpoint
        try:
            result = _run_in(
                directory,
                resume,
                job,
                data,
                style=style,
                say=say,
                reporter=reporter,
            )
        except RankLost:
            say(f"a rank is missing; unless it is restarted: {directory.resume_command()}")
            raise
    finished(config)
    return result


def _follow(job: Job[C, L], reporter: Reporter | None) -> Result[L]:
    """Learn with rank 0, in the directory that it has opened."""
    config, learner = job.config, job.learner
    if config.compile:
        compile_memory(job.core, lambda _: None)
    job.take_weights()
    directory, continued = same_directory(None)
    checkpoints = checkpoints_of(directory, config, data=job.data, warn=lambda _: None)
    fit(
        learner,
        directory,
        checkpoints,
        total=config.total,
        tracker=SilentTracker(),
        progress=SilentProgress(lambda _: None),
        resume=checkpoints.resumable() if continued else None,
        checkpoint_seconds=config.run.checkpoint_seconds,
        reporter=reporter,
    )
    return Result(directory, {}, learner)


def _inherit(job: Job[C, L], say: Say) -> None:
    job.take_weights()
    if job.inherited is not None:
        say(job.inherited)


def _run_in(
    directory: RunDirectory,
    resume: Checkpoint | None,
    job: Job[C, L],
    data: Mapping[str, str],
    *,
    style: Style,
    say: Say,
    reporter: Reporter | None,
) -> Result[L]:
    """Learn in an open directory, from a checkpoint or from the beginning, and conclude."""
    config, learner = job.config, job.learner
    start = resume.experience if resume else 0
    with Tracker(
        directory,
        config.model_dump(mode="json"),
        tensorboard=config.track.tensorboard,
        wandb=config.track.wandb,
        project=config.track.project,
        group=group_of(config),
        tags=tags_of(config),
        unit=learner.unit,
        resume=resume,
        say=say,
    ) as tracker:
        if notice := job.notice(start):
            say(notice)
        with progress_bar(config.total, start, style, learner.unit) as progress:
            trained = fit(
                learner,
                directory,
                checkpoints_of(directory, config, data=data, warn=say),
                total=config.total,
                tracker=tracker,
                progress=progress,
                resume=resume,
                checkpoint_seconds=config.run.checkpoint_seconds,
                reporter=reporter,
            )
        try:
            result = job.conclude(directory, trained, say)
        except KeyboardInterrupt:
            raise Interrupted(
                "stopped after learning, before its evaluation was complete; continue with: "
                f"{directory.resume_command()}",
                SIGINT,
            ) from None
        told = {**result, **provenance(trained, learner.unit, job.device)}
        summary = write_summary(directory.summary, told)
        tracker.finish(
            pictures=directory.pictures(), checkpoint=trained.checkpoint, summary=headline(result)
        )
    return Result(directory, summary, learner)
