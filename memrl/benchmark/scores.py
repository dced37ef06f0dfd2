"""What runs reached: by cell, and for each memory over all tasks.

Over tasks it is the interquartile mean with a stratified bootstrap interval, and the probability of
improvement (Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, mannwhitneyu, trim_mean  # type: ignore[import-untyped]

from memrl.benchmark.plan import CONTROLS, Cell, Plan
from memrl.evaluation.statistics import CONFIDENCE, Estimate, mean

Summaries = Mapping[Cell, Mapping[str, Any]]
RESAMPLES = 2000


class Row(NamedTuple):
    """One memory on one task."""

    task: str
    memory: str
    score: Estimate  # over seeds, 95 % (Student's t)
    scores: list[float]  # of each seed
    parameters: int
    env_steps: int
    env_steps_per_s: float  # of training, the median over seeds
    remembers: bool | None  # ahead of the best control, intervals apart; None for a control


class Total(NamedTuple):
    """One memory over all tasks; scores between the level without a memory, 0, and the best, 1."""

    memory: str
    iqm: float
    low: float
    high: float
    better_than: float | None  # probability that a run is better than one of GRU's; 1/2 if equal


def rows_of(plan: Plan, summaries: Summaries) -> list[Row]:
    """A row for each task and memory that has a run."""
    rows = []
    for task, recipe in plan.tasks.items():
        for memory in plan.memories:
            runs = _runs(summaries, task, memory)
            if not runs:
                continue
            scores = [float(run[recipe.score]) for run in runs]
            bounds = {"least": 0.0, "greatest": 1.0} if recipe.score == "success" else {}
            rows.append(
                Row(
                    task,
                    memory,
                    mean(scores, **bounds),
                    scores,
                    int(runs[0]["parameters"]),
                    int(runs[0]["env_steps"]),
                    float(np.median([run["env_steps_per_s"] for run in runs])),
                    None,
                )
            )
    return [row._replace(remembers=_remembers(row, rows)) for row in rows]


def totals_of(plan: Plan, rows: Sequence[Row], seed: int = 0) -> list[Total]:
    """The memories that have runs on all tasks, best first."""
    return sorted(
        (
            _total(memory, samples, _normalised(plan, rows, "gru"), seed)
            for memory in plan.memories
            if len(samples := _normalised(plan, rows, memory)) == len(plan.tasks)
        ),
        key=lambda total: -total.iqm,
    )


def _total(
    memory: str,
    samples: list[NDArray[np.float64]],
    others: list[NDArray[np.float64]],
    seed: int,
) -> Total:
    low, high = _interval(samples, seed)
    known = len(others) == len(samples)
    better = np.mean(list(map(_improvement, samples, others))) if known else None
    return Total(memory, _iqm(*samples), low, high, None if better is None else float(better))


def _iqm(*samples: NDArray[np.float64]) -> float:
    """The mean of the middle half of all runs."""
    return float(trim_mean(np.concatenate(samples), 0.25))


def _interval(samples: list[NDArray[np.float64]], seed: int) -> tuple[float, float]:
    """Of the interquartile mean; seeds are drawn anew within each task."""
    if min(map(len, samples)) < 2:
        return -np.inf, np.inf
    found = bootstrap(
        samples,
        _iqm,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _improvement(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The share of pairs of runs in which ours is better; an equal one counts half."""
    return float(mannwhitneyu(ours, theirs).statistic) / (len(ours) * len(theirs))


def _normalised(plan: Plan, rows: Sequence[Row], memory: str) -> list[NDArray[np.float64]]:
    return [
        (np.array(row.scores) - plan.tasks[row.task].low)
        / (plan.tasks[row.task].high - plan.tasks[row.task].low)
        for row in rows
        if row.memory == memory
    ]


def _remembers(row: Row, rows: Sequence[Row]) -> bool | None:
    """Whether a memory is ahead of every control, intervals apart; None if there is no saying."""
    controls = [other for other in rows if other.task == row.task and other.memory in CONTROLS]
    if row.memory in CONTROLS or not controls or len(row.scores) < 2:
        return None
    return all(row.score.low > control.score.high for control in controls)


def _runs(summaries: Summaries, task: str, memory: str) -> list[Mapping[str, Any]]:
    return [run for cell, run in summaries.items() if cell[:2] == (task, memory)]
