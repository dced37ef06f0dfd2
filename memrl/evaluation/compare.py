"""Several runs side by side: grouped by memory and environment, averaged over seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from memrl.errors import RunError
from memrl.evaluation.learning_curve import Curve, read_curve
from memrl.evaluation.statistics import Estimate, mean
from memrl.run.directory import RunDirectory
from memrl.run.summary import read_summary


class ComparedRun(NamedTuple):
    """What a comparison needs of one finished run."""

    memory: str
    env: str
    seed: int
    success: float | None  # of the final evaluation
    return_: float
    env_steps: int
    env_steps_per_s: float
    wall_seconds: float
    curve: Curve


class Group(NamedTuple):
    """Runs that differ by their seed only, as means over seeds."""

    memory: str
    env: str
    seeds: list[int]
    success: Estimate | None
    return_: Estimate
    env_steps: float
    env_steps_per_s: float
    wall_seconds: float
    curves: list[Curve]

    def as_dict(self) -> dict[str, Any]:
        """The row of the table, as plain values."""
        row = self._asdict()
        row.pop("curves")
        row["success"] = self.success._asdict() if self.success else None
        row["return"] = row.pop("return_")._asdict()
        return row


def read_run(directory: RunDirectory) -> ComparedRun:
    """Read a finished run.

    Raises:
        RunError: the run has no summary.json or no metrics.csv yet, or one that lacks a value.
    """
    summary = read_summary(directory.summary)
    try:
        return ComparedRun(
            memory=summary["memory"],
            env=summary["env"],
            seed=summary["seed"],
            success=summary["success"],
            return_=summary["return"],
            env_steps=summary["env_steps"],
            env_steps_per_s=summary["env_steps_per_s"] or math.nan,
            wall_seconds=summary["wall_seconds"],
            curve=read_curve(directory.metrics),
        )
    except KeyError as error:
        raise RunError(f"{directory.summary} lacks {error}: it is of another version") from error


def group_runs(runs: Iterable[ComparedRun]) -> list[Group]:
    """Group runs by memory and environment, in the order in which they were given.

    Raises:
        RunError: no run was given, or two runs of a group share a seed: they are not independent,
            and would make an interval look narrower than it is.
    """
    groups: dict[tuple[str, str], list[ComparedRun]] = defaultdict(list)
    for run in runs:
        groups[run.memory, run.env].append(run)
    if not groups:
        raise RunError("a comparison needs one run or more")
    return [_group(members) for members in groups.values()]


def comparison_table(groups: Sequence[Group]) -> Table:
    """A table for the terminal; ranges are 95 % t-intervals over seeds."""
    caption = "mean over seeds [95 % t-interval]; steps and times are means over seeds"
    table = Table(caption=caption, box=None)
    for name in ("memory", "env"):
        table.add_column(name, overflow="fold")
    for name in ("seeds", "success", "return", "env steps", "steps/s", "wall time"):
        table.add_column(name, justify="right", no_wrap=name not in ("success", "return"))
    for group in groups:
        table.add_row(
            group.memory,
            group.env,
            str(len(group.seeds)),
            _success(group.success),
            _return(group.return_),
            f"{group.env_steps:,.0f}",
            f"{group.env_steps_per_s:,.0f}",
            f"{group.wall_seconds:,.0f} s",
        )
    return table


def _group(runs: Sequence[ComparedRun]) -> Group:
    seeds = [run.seed for run in runs]
    first = runs[0]
    if len(set(seeds)) < len(seeds):
        raise RunError(
            f"two runs of memory={first.memory} on {first.env} have the same seed (seeds: "
            f"{', '.join(map(str, seeds))}): give one run a seed"
        )
    successes = [run.success for run in runs if run.success is not None]
    return Group(
        memory=first.memory,
        env=first.env,
        seeds=seeds,
        success=mean(successes) if successes else None,
        return_=mean([run.return_ for run in runs]),
        env_steps=sum(run.env_steps for run in runs) / len(runs),
        env_steps_per_s=sum(run.env_steps_per_s for run in runs) / len(runs),
        wall_seconds=sum(run.wall_seconds for run in runs) / len(runs),
        curves=[run.curve for run in runs],
    )


def _success(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    low, high = max(estimate.low, 0.0), min(estimate.high, 1.0)
    span = f" [{low:.0%}, {high:.0%}]" if estimate.samples > 1 else ""
    return f"{estimate.mean:.1%}{span}"


def _return(estimate: Estimate) -> str:
    span = f" [{estimate.low:.3g}, {estimate.high:.3g}]" if estimate.samples > 1 else ""
    return f"{estimate.mean:.3g}{span}"
