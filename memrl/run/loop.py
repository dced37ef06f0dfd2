"""The training loop of a run: metrics, checkpoints, signals and errors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import torch

from memrl.checkpoint.common import with_common
from memrl.checkpoint.folder import Checkpoint, Checkpoints
from memrl.distributed.collectives import mean_over_ranks, rank, ranks
from memrl.errors import EnvError, Interrupted, RunError
from memrl.run.agent import Learner, Metrics
from memrl.run.directory import RunDirectory
from memrl.run.global_generators import randomness_state, restore_randomness
from memrl.run.progress import Progress, SilentProgress
from memrl.run.reporter import NoReporter, Reporter, Saved
from memrl.run.signals import SIGNALS, StopRequest, stop_on_signals
from memrl.tracking.metrics_file import SECONDS, Row, unit_as_text
from memrl.tracking.tracker import SilentTracker, Tracker

_SCORES: Final = ("episode/success", "episode/return")  # the first that is known counts


class TrainingResult(NamedTuple):
    """The result of training, over all parts of a resumed run."""

    experience: int  # env steps or sequences, as the learner counts
    wall_seconds: float  # of training, without evaluations and pictures
    checkpoint: Path  # the last one


def fit(
    learner: Learner,
    directory: RunDirectory,
    checkpoints: Checkpoints,
    *,
    total: int,
    tracker: Tracker | SilentTracker,
    progress: Progress | None = None,
    resume: Checkpoint | None = None,
    checkpoint_seconds: float = 60.0,
    reporter: Reporter | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingResult:
    """Train ``learner`` until its experience reaches ``total``; write metrics and checkpoints.

    A learner may return earlier if it has nothing left to learn. Every iteration writes a row of
    metrics. A checkpoint is written every ``checkpoint_seconds`` and at the end. A run that is
    killed and resumed writes the same rows, bit for bit, except for times: the loop's own state is
    only the clock and the metrics since the last checkpoint.

    Args:
        learner: built from the configuration; ``resume`` is loaded into it.
        directory: of the run, for messages.
        checkpoints: of the run.
        total: experience at which to stop, including that before ``resume``.
        tracker: receives the rows.
        progress: shows the progress on the terminal.
        resume: the checkpoint to continue from.
        checkpoint_seconds: seconds between checkpoints.
        reporter: hears of each checkpoint, and may ask for more of them.
        clock: returns seconds, monotonic.

    Raises:
        Interrupted: a signal arrived; a checkpoint was saved first.
        RunError: training diverged, or the disk is full.
    """
    with stop_on_signals() as stop:
        training = _Training(
            learner=learner,
            directory=directory,
            checkpoints=checkpoints,
            tracker=tracker,
            progress=progress or SilentProgress(),
            checkpoint_seconds=checkpoint_seconds,
            reporter=reporter or NoReporter(),
            stop=stop,
            clock=clock,
        )
        if resume is not None:
            training.restore(resume)
        return training.run(total)


@final
@dataclass
class _Training:
    """The state of a call of ``fit``."""

    learner: Learner
    directory: RunDirectory
    checkpoints: Checkpoints
    tracker: Tracker | SilentTracker
    progress: Progress
    checkpoint_seconds: float
    reporter: Reporter
    stop: StopRequest
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._begin(seconds_before=0.0)
        self._unsaved: list[Metrics] = []  # of the iterations since the last checkpoint
        self._last: Path | None = None
        self._last_seen = -1
        self._row: Row = {}

    def _begin(self, seconds_before: float) -> None:
        now = self.clock()
        self._saved_at = now
        self._row_at = (now, self.learner.experience)
        self._began = now - seconds_before

    def restore(self, checkpoint: Checkpoint) -> None:
        saved, run = checkpoint.state, checkpoint.state["run"]
        if checkpoint.ranks == ranks():
            self.learner.load_state_dict(saved["agent"])
            restore_randomness(saved["randomness"])
        else:
            fresh = self.learner.state_dict()
            self.learner.load_state_dict(with_common(fresh, saved["agent"], self._common()))
            self.progress.say(
                f"saved by {_processes(checkpoint.ranks)}, continued by {_processes(ranks())}: "
                "what was learned and counted goes on, and environments, memories and replay "
                "begin anew"
            )
        if run["threads"] != torch.get_num_threads():
            self.progress.say(
                f"The run began with {run['threads']} threads and continues with "
                f"{torch.get_num_threads()}: results may differ in the last digits"
            )
        self._begin(run["wall_seconds"])
        self._last, self._last_seen = checkpoint.path, checkpoint.experience

    def _common(self) -> frozenset[str]:
        """The parts of the learner's state that all ranks have alike; of most learners none."""
        return getattr(self.learner, "common", frozenset())

    def run(self, total: int) -> TrainingResult:
        try:
            self.learner.learn(total, self._on_iteration)
        except FloatingPointError as error:
            raise self._diverged(error) from error
        except EnvError as error:
            if self.stop.signum is None:
                raise
            # A SIGTERM to a whole group ends the processes of the environments in mid-step.
            raise self._interrupted(self.stop.signum) from error
        if self._last_seen != self.learner.experience:
            self._save()
        assert self._last is not None
        return TrainingResult(self.learner.experience, self._seconds(), self._last)

    def _on_iteration(self, metrics: Metrics) -> None:
        now, seen = self.clock(), self.learner.experience
        timed = now - self._saved_at >= self.checkpoint_seconds
        wanted = timed or self.reporter.is_due(max(self._last_seen, 0), seen)
        metrics, signum, due = self._agreed(metrics, self.stop.signum, rank() == 0 and wanted)
        before, seen_before = self._row_at
        speed = (seen - seen_before) / (now - before) if now > before else math.nan
        self._row_at = (now, seen)
        unit = self.learner.unit
        row = {unit: seen, SECONDS: self._seconds(), f"time/{unit}_per_s": speed, **metrics}
        self.tracker.log(row)
        self.progress.update(row)
        self._unsaved.append(metrics)
        self._row = row
        if signum is not None:
            self._save()
            raise self._interrupted(signum)
        if due:
            self._save()

    def _agreed(
        self, metrics: Metrics, signum: int | None, due: bool
    ) -> tuple[Metrics, int | None, bool]:
        """What all ranks do after this iteration, in one reduction.

        Metrics are means over ranks; a signal to one is a signal to all; rank 0's clock says when
        a checkpoint is due. A signal that arrives later counts after the next iteration.
        """
        if ranks() == 1:
            return metrics, signum, due
        asked = [float(signum == each) for each in SIGNALS]
        said = torch.tensor([*metrics.values(), *asked, float(due)], dtype=torch.float64)
        means = mean_over_ranks(said).tolist()
        *stops, save = (share > 0 for share in means[len(metrics) :])
        agreed = next((each for each, stop in zip(SIGNALS, stops, strict=True) if stop), None)
        return dict(zip(metrics, means, strict=False)), agreed, save

    def _save(self) -> None:
        self.tracker.sync()
        self._last_seen = self.learner.experience
        score = _score(self._unsaved)
        self._last = self.checkpoints.save(
            self._state(),
            experience=self._last_seen,
            score=score,
            common={"run", "tracker", *(f"agent.{part}" for part in self._common())},
        )
        self._unsaved = []
        self._saved_at = self.clock()
        self.reporter.saved(Saved(self._last, self._last_seen, score, self._row))

    def _interrupted(self, signum: int) -> Interrupted:
        seen, unit = max(self._last_seen, 0), unit_as_text(self.learner.unit)
        return Interrupted(
            f"stopped after {seen:,} {unit}; continue with: {self.directory.resume_command()}",
            signum,
        )

    def _diverged(self, error: FloatingPointError) -> RunError:
        seen, unit = self.learner.experience, unit_as_text(self.learner.unit)
        path = self.checkpoints.save_failed(self._state(), experience=seen)
        return RunError(
            f"training diverged after {seen:,} {unit}: {error} (that state is saved in {path})"
        )

    def _state(self) -> dict[str, Any]:
        return {
            "agent": self.learner.state_dict(),
            "run": {"wall_seconds": self._seconds(), "threads": torch.get_num_threads()},
            "tracker": self.tracker.state_dict(),
            "randomness": randomness_state(),
        }

    def _seconds(self) -> float:
        return self.clock() - self._began


def _processes(number: int) -> str:
    return "one process" if number == 1 else f"{number} ranks"


def _score(rows: Sequence[Metrics]) -> float | None:
    """Mean success of iterations, or mean return where the task has none; None if none is known.

    An adapter reports a success of NaN for a task that does not say what a success is.
    """
    for name in _SCORES:
        known = [row[name] for row in rows if not math.isnan(row.get(name, math.nan))]
        if known:
            return sum(known) / len(known)
    return None
