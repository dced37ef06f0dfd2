"""How fast memories learn: scores of training episodes over env steps, by task and over all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from memrl.benchmark.plan import CONTROLS, Cell, Plan, Size, TaskPlan
from memrl.benchmark.recipe import Key
from memrl.benchmark.scores import interval, iqm, normalised
from memrl.evaluation.learning_curve import Curve, read_curve
from memrl.plots import style
from memrl.plots.comparison import band
from memrl.run.directory import RunDirectory

COLUMNS: Final = 3
POINTS: Final = 60
Curves = Mapping[Key, list[Curve]]
WHAT: Final = (
    "Lines: mean over seeds (all tasks: interquartile mean); bands: 95 % intervals. Episodes of "
    "training, smoothed over 2 % of a run."
)


def read_curves(plan: Plan, done: Iterable[Cell], root: Path) -> Curves:
    """The score of a task over the env steps of each finished run.

    Raises:
        RunError: a run lacks its metrics.csv, or no episode ended in it.
    """
    curves = defaultdict(list)
    for cell in done:
        metrics = RunDirectory(cell.path(root)).metrics
        curves[cell[:3]].append(read_curve(metrics, plan.tasks[cell.task].score))
    return curves


def over_all_tasks(plan: Plan, curves: Mapping[str, list[Curve]]) -> tuple[NDArray[Any], ...]:
    """Share of the env steps, normalised interquartile mean, low and high [P].

    It begins where the first episodes of every run have ended.

    Args:
        plan: with the levels of its tasks.
        curves: of one memory, on all tasks.
    """
    runs = [curve for seeds in curves.values() for curve in seeds]
    first = max(curve.experience[0] / curve.experience[-1] for curve in runs)
    share = np.linspace(first, 1.0, POINTS)
    samples = [
        normalised(plan.tasks[task], np.stack([_at(curve, share) for curve in seeds], axis=-1))
        for task, seeds in curves.items()
    ]  # [P, seeds] of each task
    return share, iqm(*samples), *interval(samples, seed=0)


def draw_curves(plan: Plan, curves: Curves, size: Size, path: Path) -> Figure:
    """Draw a panel over all tasks and one for each, with every memory of a size.

    The controls are grey. A memory without runs on every task is left out of the first panel, which
    is left out if it would be empty.

    Raises:
        RunError: the disk is full.
    """
    tasks = [task for task in plan.tasks if any(key[::2] == (task, size) for key in curves)]
    complete = _of_all_tasks(plan, curves, size)
    first = bool(complete)
    lines = math.ceil((first + len(tasks)) / COLUMNS)
    picture = style.new_figure(3.8 * COLUMNS, 0.8 + 2.9 * lines)
    panels = list(picture.subplots(lines, COLUMNS, squeeze=False).flat)
    for axes in panels[first + len(tasks) :]:
        axes.set_axis_off()
    if complete:
        _draw_all(panels[0], plan, complete)
    for axes, task in zip(panels[first:], tasks, strict=False):
        _draw_task(axes, plan, curves, task, size)
    named = {  # each line once, whichever panels it is in
        label: line
        for axes in panels
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    order = sorted(named, key=[*plan.memories, *_LEVELS].index)
    picture.legend(
        [named[label] for label in order],
        order,
        loc="outside lower center",
        ncols=min(6, len(order)),
        frameon=False,
        fontsize=style.FONT,
        title=WHAT,
        title_fontsize=style.FONT - 1,
    )
    style.save(picture, path)
    return picture


_LEVELS: Final = {"without a memory": ":", "optimum": "--"}


def _of_all_tasks(plan: Plan, curves: Curves, size: Size) -> dict[str, dict[str, list[Curve]]]:
    """The curves by task of each memory that has some of every task."""
    known = {
        memory: {
            task: curves[key] for task in plan.tasks if (key := (task, memory, size)) in curves
        }
        for memory in plan.memories
    }
    return {memory: found for memory, found in known.items() if len(found) == len(plan.tasks)}


def _draw_all(axes: Axes, plan: Plan, complete: Mapping[str, dict[str, list[Curve]]]) -> None:
    for memory, found in complete.items():
        _draw(axes, plan, memory, *over_all_tasks(plan, found))
    _finish(axes, f"all {len(plan.tasks)} tasks", (0.0, 1.0))
    axes.set_ylabel("normalised score")
    axes.set_xlabel("env steps (% of a run)")
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))
    axes.set_xlim(0, 1)


def _draw_task(axes: Axes, plan: Plan, curves: Curves, task: str, size: Size) -> None:
    recipe = plan.tasks[task]
    bounds = (0.0, 1.0) if recipe.score == "success" else (-np.inf, np.inf)
    for memory in plan.memories:
        if (key := (task, memory, size)) in curves:
            _draw(axes, plan, memory, *band(curves[key], bounds))
    _finish(axes, task, (recipe.low, recipe.high))
    axes.set_ylabel(_unit(recipe))
    style.steps_axis(axes)
    axes.set_xlim(left=0)


def _draw(
    axes: Axes,
    plan: Plan,
    memory: str,
    x: NDArray[Any],
    centre: NDArray[Any],
    low: NDArray[Any],
    high: NDArray[Any],
) -> None:
    colour, dashes = _look(plan, memory)
    axes.plot(x, centre, color=colour, ls=dashes, lw=1.8, label=memory)
    if np.isfinite(low).all() and (high > low).any():
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)


def _look(plan: Plan, memory: str) -> tuple[str, str]:
    """Colours that any vision tells apart, then dashes; controls are grey."""
    if memory in CONTROLS:
        return style.GREY, style.DASHES[CONTROLS.index(memory)]
    others = [other for other in plan.memories if other not in CONTROLS]
    return style.colour_and_dashes(others.index(memory))


def _finish(axes: Axes, title: str, levels: tuple[float, float]) -> None:
    """Reference lines, and a range that shows them and all lines; a wide band may leave it."""
    shown = np.concatenate([levels, *(np.asarray(line.get_ydata()) for line in axes.lines)])
    low, high = float(shown.min()), float(shown.max())
    for (label, dashes), level in zip(_LEVELS.items(), levels, strict=True):
        axes.axhline(level, color=style.INK, lw=1.0, ls=dashes, label=label, zorder=1)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.set_title(title, loc="left")
    style.tidy(axes)


def _unit(recipe: TaskPlan) -> str:
    return "success (share)" if recipe.score == "success" else "return"


def _at(curve: Curve, share: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.interp(share * curve.experience[-1], curve.experience, curve.smooth))
