"""The results of experiments as plain values: what ``probe.json`` holds, written and read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memrl.errors import RunError
from memrl.evaluation.statistics import Estimate
from memrl.probing.cue_reads import CueReads
from memrl.probing.experiments import Experiments, Result, When
from memrl.probing.provenance import METHODS
from memrl.run.agent import Agent
from memrl.run.machine import commit, versions


class _Record(BaseModel):
    """A part of the file: every number is finite; what a later version adds is not read."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Interval(_Record):
    """A mean with its 95 % interval."""

    mean: float
    low: float | None  # None: unbounded, as of a single episode
    high: float | None
    samples: int


class Experiment(_Record):
    """As ``Result``."""

    name: str
    when: When  # a share of the way from the cue to the end, a step, or None: from the beginning
    score: Interval
    change: Interval | None
    other: Interval | None
    again: Interval | None
    unaided_score: Interval | None
    unaided_other: Interval | None
    cut_off: int


class ReadOff(_Record):
    """As ``memrl.probing.readout.Readout``: four lists of one length."""

    after: list[int]
    memory: list[Interval]
    observation: list[Interval]
    commonest: list[float]

    @model_validator(mode="after")
    def _of_one_length(self) -> ReadOff:
        lengths = {len(self.after), len(self.memory), len(self.observation), len(self.commonest)}
        if len(lengths) > 1:
            raise ValueError("lists of different lengths")
        return self


class Reads(_Record):
    """As ``CueReads``."""

    method: str
    meaning: str  # the method in words
    later: Interval
    later_even: float
    last: Interval
    last_even: float
    example: list[list[float]]  # [T, T]
    cue: tuple[int, int]


class Checkpoint(_Record):
    """What was experimented on, and by which memrl."""

    which: Literal["last", "best"]
    env_steps: int  # at which it was saved
    version: str | None  # of the installed memrl
    commit: str | None  # of its source, with a word if files differ from it; None: no checkout


class Report(_Record):
    """Everything that was found. Without a cue ``readouts`` is empty and ``reads`` None."""

    run: str
    checkpoint: Checkpoint | None = None  # None: the file is older than this entry
    known: dict[str, float]  # levels of the score by name
    measure: str  # "success" or "return"
    episodes: int
    counted: int
    experiments: list[Experiment] = Field(min_length=1)
    readouts: dict[str, ReadOff]
    reads: Reads | None


def report_of(
    experiments: Experiments,
    results: Sequence[Result],
    *,
    run: str,
    checkpoint: Checkpoint,
    known: Mapping[str, float],
) -> Report:
    """The report on a run.

    Args:
        experiments: that were run.
        results: of them, at least one.
        run: its path.
        checkpoint: of the agent.
        known: levels of the score by name.
    """
    return Report(
        run=run,
        checkpoint=checkpoint,
        known=dict(known),
        measure=experiments.measure,
        episodes=len(experiments.rows),
        counted=int(experiments.rows.sum()),
        experiments=[_experiment(result) for result in results],
        readouts={
            name: ReadOff(
                after=readout.after,
                memory=[interval_of(each) for each in readout.memory],
                observation=[interval_of(each) for each in readout.observation],
                commonest=readout.commonest,
            )
            for name, readout in experiments.readouts.items()
        },
        reads=None if experiments.reads is None else _reads(experiments.reads),
    )


def checkpoint_of(agent: Agent, which: Literal["last", "best"]) -> Checkpoint:
    """The entry on an agent's checkpoint, and on this memrl."""
    source = commit()
    told = None if source is None else source["sha"] + " with changes" * source["dirty"]
    version = versions()["memrl"]
    return Checkpoint(which=which, env_steps=agent.env_steps, version=version, commit=told)


def read_report(path: Path) -> Report:
    """What ``memrl probe`` wrote.

    Raises:
        RunError: the file cannot be read, is damaged, or is of another version of memrl.
    """
    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
        raise RunError(f"{path} is damaged or of another version of memrl ({why})") from error


def interval_of(estimate: Estimate) -> Interval:
    """An estimate as the file has it."""
    low, high = (bound if math.isfinite(bound) else None for bound in (estimate.low, estimate.high))
    return Interval(mean=estimate.mean, low=low, high=high, samples=estimate.samples)


def when_as_text(when: When) -> str:
    """When a change was made, in a word or two."""
    if when is None:
        return ""
    if isinstance(when, int):
        return f"step {when}"
    return {0.0: "after cue", 1.0: "at the end"}.get(when, f"{when:.0%}")


def _experiment(result: Result) -> Experiment:
    return Experiment(
        name=result.name,
        when=result.when,
        score=interval_of(result.score),
        change=_known(result.change),
        other=_known(result.other),
        again=_known(result.again),
        unaided_score=_known(result.unaided_score),
        unaided_other=_known(result.unaided_other),
        cut_off=result.cut_off,
    )


def _reads(reads: CueReads) -> Reads:
    return Reads(
        method=reads.example.method,
        meaning=METHODS[reads.example.method],
        later=interval_of(reads.later),
        later_even=reads.later_even,
        last=interval_of(reads.last),
        last_even=reads.last_even,
        example=reads.example.weights.tolist(),
        cue=reads.cue,
    )


def _known(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else interval_of(estimate)
