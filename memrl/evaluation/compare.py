"""Several runs side by side: grouped by memory and task, averaged over seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from memrl.errors import RunError
from memrl.evaluation.learning_curve import Curve, Measure, read_curve
from memrl.evaluation.statistics import Estimate, mean
from memrl.run.directory import RunDirectory
from memrl.run.summary import read_summary
from memrl.tracking.metrics_file import STEPS

Bounds: TypeAlias = tuple[float, float]  # least and greatest value that a measure can have
_SHARE: Final[Bounds] = (0.0, 1.0)
_UNKNOWN: Final[Bounds] = (-math.inf, math.inf)
_ENOUGH: Final = 100  # episodes; the extremes of fewer say little about what is possible


class ComparedRun(NamedTuple):
    """What a comparison needs of one finished run."""

    path: Path
    memory: str
    task: str  # the environment's id, or the supervised task
    seed: int
    scores: dict[Measure, float]  # of the final evaluation; those that the task has
    unit: str  # what ``experience`` counts: env_steps or sequences
    experience: int
    experience_per_s: float
    wall_seconds: float
    curve: Curve
    episodes: int  # of the final evaluation; 0 for a supervised run
    returns: Bounds  # least and greatest of a single one of them


class Group(NamedTuple):
    """Runs that differ by their seed only, as means over seeds."""

    memory: str
    task: str
    seeds: list[int]
    scores: dict[Measure, Estimate]
    unit: str
    experience: float
    experience_per_s: float
    wall_seconds: float
    curves: list[Curve]
    bounds: Bounds  # of what the curves show
    paths: list[Path]

    def as_dict(self) -> dict[str, Any]:
        """The group as plain values."""
        return {
            "memory": self.memory,
            task_heading(self.unit): self.task,
            "seeds": self.seeds,
            **{name: estimate._asdict() for name, estimate in self.scores.items()},
            self.unit: self.experience,
            f"{self.unit}_per_s": self.experience_per_s,
            "wall_seconds": self.wall_seconds,
            "runs": [str(path) for path in self.paths],
        }


def task_heading(unit: str) -> str:
    """What a run is trained on, in the word of its command."""
    return "env" if unit == STEPS else "task"


def read_run(directory: RunDirectory) -> ComparedRun:
    """Read a finished run.

    Raises:
        RunError: the run has no summary.json or no metrics.csv yet, or one that lacks a value.
    """
    summary = read_summary(directory.summary)
    unit = "sequences" if "task" in summary else STEPS
    measures: tuple[Measure, ...] = ("success", "return") if unit == STEPS else ("accuracy",)
    result = summary.get("evaluation", {}) if unit == STEPS else {}
    try:
        return ComparedRun(
            path=directory.path,
            memory=summary["memory"],
            task=summary[task_heading(unit)],
            seed=summary["seed"],
            scores={name: summary[name] for name in measures if summary[name] is not None},
            unit=unit,
            experience=summary[unit],
            experience_per_s=summary[f"{unit}_per_s"] or math.nan,
            wall_seconds=summary["wall_seconds"],
            curve=read_curve(directory.metrics),
            episodes=result.get("episodes", 0),
            # Runs of earlier versions did not keep their extremes.
            returns=(
                result.get("least_return", -math.inf),
                result.get("greatest_return", math.inf),
            ),
        )
    except KeyError as error:
        raise RunError(f"{directory.summary} lacks {error}: it is of another version") from error


def group_runs(runs: Iterable[ComparedRun]) -> list[Group]:
    """Group runs by memory and task, in the order in which they were given.

    Intervals end where no value can lie: shares at 0 and 1, returns at the least and the greatest
    that a run of the task has seen, where they were seen in 100 episodes or more.

    Raises:
        RunError: no run was given; runs of ``memrl train`` and ``memrl fit`` were mixed; or two
            runs of a group share a seed: they are not independent, and would make an interval look
            narrower than it is.
    """
    given = list(runs)
    if not given:
        raise RunError("a comparison needs one run or more")
    if len({run.unit for run in given}) > 1:
        counted = sum(run.unit == STEPS for run in given)
        raise RunError(
            f"{counted} of these runs are of memrl train and {len(given) - counted} of memrl fit: "
            "compare those of one command"
        )
    groups: dict[tuple[str, str], list[ComparedRun]] = defaultdict(list)
    tasks: dict[str, list[ComparedRun]] = defaultdict(list)
    for run in given:
        groups[run.memory, run.task].append(run)
        tasks[run.task].append(run)
    return [_group(members, return_bounds(tasks[task])) for (_, task), members in groups.items()]


def return_bounds(runs: Sequence[ComparedRun]) -> Bounds:
    """The least and the greatest return of runs of one task; infinite where too few tell."""
    if sum(run.episodes for run in runs) < _ENOUGH:
        return _UNKNOWN
    means = [run.curve.score for run in runs if run.curve.measure == "return"]
    least = min([*(run.returns[0] for run in runs), *(score.min() for score in means)])
    greatest = max([*(run.returns[1] for run in runs), *(score.max() for score in means)])
    return float(least), float(greatest)


def _group(runs: Sequence[ComparedRun], returns: Bounds) -> Group:
    first = runs[0]
    _check_seeds(runs)
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    scores: dict[Measure, Estimate] = {}
    for name in names:
        least, greatest = returns if name == "return" else _SHARE
        values = [run.scores[name] for run in runs if name in run.scores]
        scores[name] = mean(values, least=least, greatest=greatest)
    shares = all(run.curve.is_share for run in runs)
    return Group(
        memory=first.memory,
        task=first.task,
        seeds=[run.seed for run in runs],
        scores=scores,
        unit=first.unit,
        experience=sum(run.experience for run in runs) / len(runs),
        experience_per_s=sum(run.experience_per_s for run in runs) / len(runs),
        wall_seconds=sum(run.wall_seconds for run in runs) / len(runs),
        curves=[run.curve for run in runs],
        bounds=_SHARE if shares else returns,
        paths=[run.path for run in runs],
    )


def _check_seeds(runs: Sequence[ComparedRun]) -> None:
    known: dict[int, ComparedRun] = {}
    for run in runs:
        if run.seed in known:
            raise RunError(
                f"{known[run.seed].path} and {run.path} are two runs of memory={run.memory} on "
                f"{run.task} that have the same seed {run.seed}: leave one out"
            )
        known[run.seed] = run
