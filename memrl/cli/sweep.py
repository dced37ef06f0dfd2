"""Overrides go to Hydra, which calls back with one composed config for each job."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from memrl.cli.output import Say
from memrl.cli.sweep_axes import axes_of, is_sweep
from memrl.cli.sweep_launcher import Sweep, prepare_sweep
from memrl.cli.sweep_processes import as_job, dismiss_workers, signals_to_jobs, stopped
from memrl.cli.sweep_report import Outcome, print_outcomes, raise_failures, read_outcomes
from memrl.config.composer import CONFIGS, hydra_compose
from memrl.config.composition import resolve, sentence, words_for_hydra
from memrl.config.models import Common
from memrl.errors import Interrupted, RunError, disk_errors_explained, shortened
from memrl.pipeline.earlier import earlier_run
from memrl.pipeline.job import Result
from memrl.pipeline.loading import import_plugins
from memrl.pipeline.trained import Run
from memrl.plugins import NAMED
from memrl.run.directory import RunDirectory
from memrl.run.progress import Style
from memrl.run.signals import StopRequest
from memrl.run.summary import read_summary

C = TypeVar("C", bound=Common)
_AGAIN: Final = "the same command continues the sweep"


class Finished(NamedTuple):
    """A run that was made before."""

    path: Path
    summary: dict[str, Any]


Made: TypeAlias = Run | Result[Any] | Finished


class Place(NamedTuple):
    """Which job of a sweep this is."""

    number: int  # from 1
    jobs: int | None  # None where only the sweeper knows
    words: list[str]  # what sets it apart
    here: bool  # in the process that began the sweep; else beside others, or on another machine

    @property
    def numbers(self) -> str:
        """``job 2 of 6``."""
        return f"job {self.number} of {self.jobs}" if self.jobs else f"job {self.number}"


@dataclass(frozen=True)
class Composed:
    """One job: a config as Hydra composed it."""

    plain: DictConfig
    place: Place | None  # None outside of a sweep

    def resolve(self, model: type[C]) -> C:
        """Check the config; each job of a sweep gets a directory of its own inside ``run.dir``.

        Raises:
            ValueError: a key without a default was not given, or one holds what its model refuses.
        """
        config = resolve(self.plain, model)
        if self.place is None or config.run.dir is None:
            return config
        run = config.run.model_copy(update={"root": config.run.dir, "dir": None})
        return config.model_copy(update={"run": run})

    def earlier(self, config: Common) -> RunDirectory | None:
        """The run of this job, if the sweep was begun before."""
        return None if self.place is None else earlier_run(config)

    def skip(self, earlier: RunDirectory, say: Say) -> Made:
        """Say that this job need not run again, and give what it came to.

        Raises:
            RunError: its summary is damaged.
        """
        self.announce(iter(()), say)
        say(f"finished before: {earlier}")
        return Finished(earlier.path, read_summary(earlier.summary))

    @property
    def style(self) -> Style:
        """Of the progress display: of several at once none can be read."""
        return "auto" if self.place is None or self.place.here else "quiet"

    def announce(self, lines: Iterator[str], say: Say) -> None:
        """Say what runs: its place in the sweep, and the config once."""
        if self.place is not None:
            say(f"\n{self.place.numbers}: {' '.join(self.place.words)}")
        if self.place is None or self.place.number == 1:
            for line in lines:
                say(line)


Job: TypeAlias = Callable[[Composed], Made | None]  # None where other processes train


def play(words: Sequence[str], job: Job, *, model: type[Common], as_json: bool) -> None:
    """Call ``job`` once, or with ``-m`` once for each job of a sweep.

    Args:
        words: overrides, and flags of Hydra.
        job: learns, evaluates and draws; its exception fails this job only. In a sweep it returns
            the run.
        model: of the config.
        as_json: whether a sweep ends with one JSON value instead of a table.

    Raises:
        ValueError: words that Hydra refuses, in one sentence; or code of the person's own that is
            not there, does not import, or is no such class.
        RunError: jobs of a sweep failed.
        Interrupted: a signal arrived; the jobs that were left did not begin.
    """
    words = words_for_hydra(words, model)
    sweep = _sweep_of(words, model)
    if sweep is None:
        one = _One(job)
        _call(one, model, words)
        if one.failed is not None:
            raise one.failed
        return
    with _folder_of_outcomes(sweep.folder / ".sweep") as kept:
        try:
            with signals_to_jobs(kept) if sweep.beside else nullcontext(StopRequest()) as stop:
                ended = _end_of(_Jobs(job, sweep, kept), model, [*words, *sweep.words])
        finally:
            dismiss_workers()
        outcomes = read_outcomes(kept)
    if outcomes:
        print_outcomes(outcomes, searched=sweep.search, as_json=as_json)
    if stop.signum is not None:
        raise Interrupted(f"stopped; {_AGAIN}", stop.signum)
    if ended is not None:
        raise ended
    raise_failures(outcomes)


def _sweep_of(words: Sequence[str], model: type[Common]) -> Sweep | None:
    """How the jobs of a sweep are launched; None if these words are of one run.

    Raises:
        ValueError: words that Hydra refuses, or more threads than this machine has cores.
    """
    flag = is_sweep(words)
    if not flag and not any(re.match(r"\+*(hydra|sweep)\b", word) for word in words):
        return None
    try:
        composed = hydra_compose(model.root, axes_of(words).first, settings=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(sentence(error, model, words)) from None
    if not flag and composed.hydra.mode is not RunMode.MULTIRUN:
        if chosen := [word for word in words if re.match(r"hydra/(launcher|sweeper)=", word)]:
            raise ValueError(f"{chosen[0]} is for the jobs of a sweep: add -m")
        return None
    return prepare_sweep(composed, words)


def _end_of(jobs: _Jobs, model: type[Common], words: Sequence[str]) -> Exception | None:
    """Play all jobs; what ended the sweep early, if anything did."""
    try:
        _call(jobs, model, words)
    except _Stop as stop:
        return stop.why
    except KeyboardInterrupt:
        return Interrupted(f"stopped; {_AGAIN}", SIGINT)
    except ValueError as error:
        return error
    except RuntimeError as error:  # of a launcher: a process of its own died, or there is no Slurm
        text = " ".join(str(error).split())
        return RunError(f"the launcher of the sweep failed: {shortened(text)}; {_AGAIN}")
    return None


def _call(
    player: Callable[[DictConfig], object], model: type[Common], words: Sequence[str]
) -> None:
    """Have Hydra call ``player`` with every config that it composes.

    Raises:
        ValueError: words that Hydra refuses.
    """

    @hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name=model.root)
    def main(plain: DictConfig) -> object:
        return player(plain)

    with _as_hydra_is_called(f"memrl {model.command}", words):
        try:
            main()
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(sentence(error, model, words)) from None


class _One:
    """Plays one run, and keeps its error: Hydra would tell it in its own way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.failed: Exception | None = None

    def __call__(self, plain: DictConfig) -> None:
        try:
            self._job(Composed(plain, None))
        except Exception as error:
            self.failed = error


class _Jobs:
    """Plays the jobs of a sweep, here or wherever a launcher has sent a copy of this.

    Args:
        job: of the command.
        sweep: how they are launched.
        kept: the folder to which each job's outcome is written.
    """

    def __init__(self, job: Job, sweep: Sweep, kept: Path) -> None:
        self._job, self._axes, self._kept = job, sweep.axes, kept.absolute()
        self._process, self._beside = os.getpid(), sweep.beside
        self._plugins = [*NAMED]

    def __call__(self, plain: DictConfig) -> float | None:
        """Play a job; its score, for a sweeper that searches, or None if it failed."""
        asked = HydraConfig.get()
        here = os.getpid() == self._process
        words = self._axes.varying(asked.overrides.task)
        place = Place(int(asked.job.num) + 1, self._axes.jobs, words, here)
        try:
            with as_job(self._kept, self._process) if self._beside else nullcontext():
                if not here:
                    NAMED[:] = self._plugins
                    import_plugins(self._plugins)
                run = self._job(Composed(plain, place))
            assert run is not None  # a sweep's jobs train in this process
            outcome = Outcome(words, run.path, run.summary, None)
        except (Interrupted, KeyboardInterrupt) as error:
            if here:
                raise _stop(error, place) from None
            if stopped(self._kept):
                return None
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome = Outcome.of_error(words, error)
        except Exception as error:
            outcome = Outcome.of_error(words, error)
        outcome.write(self._kept, place.number)
        return outcome.score


class _Stop(BaseException):
    """Ends a sweep; Hydra would catch an Exception and go on with the next job."""

    def __init__(self, why: Interrupted) -> None:
        super().__init__()
        self.why = why


def _stop(error: Interrupted | KeyboardInterrupt, place: Place) -> _Stop:
    """The end of a sweep within a job; the sentence says how to go on with it."""
    said, code = "stopped", 128 + SIGINT
    if isinstance(error, Interrupted):  # its sentence ends with the command that continues the run
        said, code = str(error).partition("; continue with:")[0], error.exit_code
    return _Stop(Interrupted(f"{place.numbers} {said}; {_AGAIN}", code - 128))


@contextmanager
def _folder_of_outcomes(folder: Path) -> Iterator[Path]:
    """A folder for the outcomes of the jobs that are played now, on all machines that play them."""
    with disk_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        kept = TemporaryDirectory(prefix="outcomes-", dir=folder)
    with kept:
        yield Path(kept.name)


@contextmanager
def _as_hydra_is_called(command: str, words: Sequence[str]) -> Iterator[None]:
    """Hydra reads ``sys.argv``, and leaves errors to us when it may show them in full."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [command, *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
