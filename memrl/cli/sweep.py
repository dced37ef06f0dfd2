"""Overrides go to Hydra, which calls back with one composed config for each job."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from signal import SIGINT
from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from memrl.cli.output import Say
from memrl.cli.sweep_axes import Axes, again, axes_of, commands_after, job_words
from memrl.cli.sweep_report import Outcome, print_outcomes, raise_failures
from memrl.config.composer import CONFIGS
from memrl.config.composition import resolve, sentence, words_for_hydra
from memrl.config.models import Common
from memrl.config.quoting import with_quotes
from memrl.errors import Interrupted
from memrl.pipeline.job import Result
from memrl.pipeline.trained import Run

C = TypeVar("C", bound=Common)


class Place(NamedTuple):
    """Which job of a sweep this is."""

    number: int  # from 1
    jobs: int | None  # None where only the sweeper knows
    words: list[str]  # what sets it apart

    @property
    def numbers(self) -> str:
        """``job 2 of 6``."""
        return f"job {self.number} of {self.jobs}" if self.jobs else f"job {self.number}"


@dataclass(frozen=True)
class Composed:
    """One job: a config as Hydra composed it."""

    plain: DictConfig
    words: list[str]  # the overrides that made it
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

    def announce(self, lines: Iterator[str], say: Say) -> None:
        """Say what runs: its place in the sweep, and the config once."""
        if self.place is not None:
            say(f"\n{self.place.numbers}: {' '.join(self.place.words)}")
        if self.place is None or self.place.number == 1:
            for line in lines:
                say(line)


Job: TypeAlias = Callable[[Composed], Run | Result[Any] | None]


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
    command = f"memrl {model.command}"
    jobs = _Jobs(job, axes_of(with_quotes(words)), again(model.command, words))
    words = words_for_hydra(words, model)

    @hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name=model.root)
    def main(plain: DictConfig) -> None:
        asked = HydraConfig.get()
        made_of = list(asked.overrides.task)
        if asked.mode is RunMode.MULTIRUN:
            jobs.play_next(plain, made_of, int(asked.job.num))
        else:
            jobs.play_one(plain, made_of)

    stopped: Interrupted | None = None
    with _as_hydra_is_called(command, words):
        try:
            main()
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(sentence(error, model, words)) from None
        except _Stop as stop:
            stopped = stop.why
    jobs.finish(stopped, as_json=as_json)


class _Jobs:
    """Plays what Hydra composes, and keeps what came of it: Hydra would tell it in its own way."""

    def __init__(self, job: Job, axes: Axes | None, command: str) -> None:
        self._job, self._axes, self._command = job, axes, command
        self._failed: Exception | None = None
        self._outcomes: list[Outcome] = []
        self._process = os.getpid()

    def play_one(self, plain: DictConfig, made_of: list[str]) -> None:
        try:
            self._job(Composed(plain, made_of, None))
        except Exception as error:
            self._failed = error

    def play_next(self, plain: DictConfig, made_of: list[str], index: int) -> None:
        place = _place(self._axes, made_of, index)
        try:
            run = self._job(Composed(plain, made_of, place))
            assert run is not None
            self._outcomes.append(Outcome(place.words, run.path, run.summary, None))
        except (Interrupted, KeyboardInterrupt) as error:
            _stop(error, place, self._axes, self._command)
        except Exception as error:
            if os.getpid() != self._process:
                raise  # in a launcher's own process, only Hydra can pass it on
            self._outcomes.append(Outcome(place.words, None, None, error))

    def finish(self, stopped: Interrupted | None, *, as_json: bool) -> None:
        if self._failed is not None:
            raise self._failed
        if self._outcomes:
            print_outcomes(self._outcomes, as_json=as_json)
        if stopped is not None:
            raise stopped
        raise_failures(self._outcomes)


class _Stop(BaseException):
    """Ends a sweep; Hydra would catch an Exception and go on with the next job."""

    def __init__(self, why: Interrupted) -> None:
        super().__init__()
        self.why = why


def _place(axes: Axes | None, made_of: list[str], index: int) -> Place:
    if axes is None:
        return Place(index + 1, None, made_of)
    return Place(index + 1, prod(map(len, axes.values())), job_words(axes, index))


def _stop(
    error: Interrupted | KeyboardInterrupt, place: Place, axes: Axes | None, command: str
) -> NoReturn:
    """End the sweep and say how to go on with it."""
    if isinstance(error, Interrupted):  # its sentence ends with the command that continues the run
        said, code, done = f"{error}", error.exit_code, place.number
    else:
        said, code, done = "stopped", 128 + SIGINT, place.number - 1
    if axes is None:
        said += "; the other jobs of the sweep did not begin"
    elif rest := commands_after(axes, done, command):
        said += " && " if isinstance(error, Interrupted) else "; continue with: "
        said += " && ".join(rest)
    raise _Stop(Interrupted(f"{place.numbers} {said}", code - 128)) from None


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
