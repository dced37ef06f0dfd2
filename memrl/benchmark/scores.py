"""What runs reached: by cell, and for each memory over all tasks.

Over tasks it is the interquartile mean with a stratified bootstrap interval, and the probability of
improvement (Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, mannwhitneyu, trim_mean  # type: ignore[import-untyped]

from memrl.benchmark.plan import CONTROLS, Cell, Plan, Size, TaskPlan
from memrl.benchmark.recipe import Key
from memrl.errors import RunError
from memrl.evaluation.statistics import CONFIDENCE, Estimate, mean

Summaries: TypeAlias = Mapping[Cell, Mapping[str, Any]]
RESAMPLES: Final = 2000
ENOUGH: Final = 5  # seeds of both, to say that one memory is ahead of another


class Row(NamedTuple):
    """One memory on one task."""

    task: str
    memory: str
    size: Size
    score: Estimate  # over seeds, 95 % (Student's t)
    seeds: list[int]
    scores: list[float]  # of each seed
    speeds: list[float]  # env steps/s of training, of each seed
    parameters: int
    state_bytes: int | None  # of one environment, between steps; None: an older run
    bptt: int | None  # env steps a gradient reaches back; None: the agent has no such chunks
    env_steps: int
    env_steps_per_s: float  # of training, the median over seeds
    commits: list[str]  # of memrl, that made the runs
    remembers: bool | None  # ahead of the controls of its size, intervals apart; None: no saying


class Total(NamedTuple):
    """One memory over all tasks; scores between the level without a memory, 0, and the best, 1."""

    memory: str
    size: Size
    iqm: float
    low: float
    high: float
    better_than: float | None  # that a run beats one of GRU at this size; 1/2 if they are equal


def rows_of(plan: Plan, summaries: Summaries) -> list[Row]:
    """A row for each task, size and memory that has a run.

    Raises:
        RunError: a run has no such score as its task's, or seeds have unequal parameters.
    """
    rows = [
        _row(plan, key, runs)
        for key in product(plan.tasks, plan.memories, plan.sizes)
        if (runs := {cell.seed: run for cell, run in summaries.items() if cell[:3] == key})
    ]
    return [row._replace(remembers=_remembers(plan, row, rows)) for row in rows]


def totals_of(plan: Plan, rows: Sequence[Row], seed: int = 0) -> list[Total]:
    """The memories that have runs on all tasks, best first."""
    found = []
    for memory, size in product(plan.memories, plan.sizes):
        samples = _samples(plan, rows, memory, size)
        if len(samples) < len(plan.tasks):
            continue
        others = _samples(plan, rows, "gru", size)
        known = len(others) == len(samples)
        better = float(np.mean(list(map(_improvement, samples, others)))) if known else None
        low, high = map(float, interval(samples, seed))
        found.append(Total(memory, size, float(iqm(*samples)), low, high, better))
    return sorted(found, key=lambda total: -total.iqm)


def controls_of(plan: Plan) -> list[str]:
    """The memories that all others are held against: a plan may lack one of the two."""
    return [memory for memory in plan.memories if memory in CONTROLS]


def is_ahead(one: Row, other: Row) -> bool:
    """Whether a memory may be called ahead of another: five seeds or more, intervals apart."""
    few = min(len(one.scores), len(other.scores)) < ENOUGH
    return not few and one.score.low > other.score.high


def normalised(recipe: TaskPlan, scores: ArrayLike) -> NDArray[np.float64]:
    """Scores between the level without a memory, 0, and the best, 1."""
    return (np.asarray(scores, dtype=np.float64) - recipe.low) / (recipe.high - recipe.low)


def iqm(*samples: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """The mean of the middle half of all runs, which lie along ``axis``."""
    return np.asarray(trim_mean(np.concatenate(samples, axis), 0.25, axis))


def interval(
    samples: Sequence[NDArray[np.float64]], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the interquartile mean, 95 %; seeds are drawn anew within each task.

    Args:
        samples: of each task, [..., seeds].
        seed: of the draws.
    """
    if min(sample.shape[-1] for sample in samples) < 2:
        shape = samples[0].shape[:-1]
        return np.full(shape, -np.inf), np.full(shape, np.inf)
    found = bootstrap(
        samples,
        iqm,
        vectorized=True,
        axis=-1,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return np.asarray(found.low), np.asarray(found.high)


def _improvement(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The share of pairs of runs in which ours is better; an equal one counts half."""
    return float(mannwhitneyu(ours, theirs).statistic) / (len(ours) * len(theirs))


def _samples(plan: Plan, rows: Sequence[Row], memory: str, size: Size) -> list[NDArray[np.float64]]:
    """Normalised scores of each task."""
    return [
        normalised(plan.tasks[row.task], row.scores)
        for row in rows
        if (row.memory, row.size) == (memory, size)
    ]


def _row(plan: Plan, key: Key, by_seed: Mapping[int, Mapping[str, Any]]) -> Row:
    score, runs = plan.tasks[key[0]].score, list(by_seed.values())
    if any(run[score] is None for run in runs):
        raise RunError(
            f"task {key[0]} of {plan.name} has score: {score}, and a run of {key[1]} has none "
            "(success: of tasks that say what one is; return: of any)"
        )
    sizes = sorted({int(run["parameters"]) for run in runs})
    if len(sizes) > 1:
        raise RunError(
            f"runs of {key[1]} on {key[0]} of {plan.name} have "
            f"{' and '.join(map(str, sizes))} parameters: other versions of memrl made them"
        )
    scores = [float(run[score]) for run in runs]
    speeds = [float(run["env_steps_per_s"]) for run in runs]
    bounds = {"least": 0.0, "greatest": 1.0} if score == "success" else {}
    return Row(
        *key,
        score=mean(scores, **bounds),
        seeds=list(by_seed),
        scores=scores,
        speeds=speeds,
        parameters=sizes[0],
        state_bytes=runs[0].get("state_bytes"),
        bptt=runs[0]["bptt"],
        env_steps=int(runs[0]["env_steps"]),
        env_steps_per_s=float(np.median(speeds)),
        commits=sorted({commit for run in runs for commit in _commits(run)}),
        remembers=None,
    )


def _commits(run: Mapping[str, Any]) -> list[str]:
    """Of a run's summary; a row of another table names those of all its runs."""
    if "commits" in run:
        return list(run["commits"])
    return [run["commit"]["sha"][:7]] if run.get("commit") else []


def _remembers(plan: Plan, row: Row, rows: Sequence[Row]) -> bool | None:
    """Whether a memory is ahead of every control, intervals apart; None if there is no saying."""
    wanted = controls_of(plan)
    alike = [other for other in rows if (other.task, other.size) == (row.task, row.size)]
    controls = [other for other in alike if other.memory in wanted]
    if row.memory in wanted or not wanted or len(controls) < len(wanted):
        return None
    if min(len(one.scores) for one in (row, *controls)) < 2:  # an interval that is open
        return None
    return all(row.score.low > control.score.high for control in controls)
