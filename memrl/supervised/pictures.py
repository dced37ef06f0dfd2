"""curve.png and lengths.png: how accuracy grew while learning, and where it ends by length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from memrl.evaluation.learning_curve import moving_mean
from memrl.plots import style
from memrl.plots.curve import draw_references
from memrl.supervised.evaluation import LengthScore
from memrl.tasks.task import Task
from memrl.tracking.metrics_file import read_metrics

_PARTS: Final = 50  # a window of smoothing is this part of the run


def draw_learning(
    metrics: Path, path: Path, *, task: Task, marks: Sequence[LengthScore], title: str
) -> Figure:
    """Draw accuracy and loss over sequences, beside chance and the best possible; write a PNG.

    Raises:
        RunError: the file is missing or has no rows, or the disk is full.
    """
    columns = read_metrics(metrics)
    seen, longest = columns["sequences"], columns["train/length"]
    best = _last_best(marks)
    picture = style.new_figure(8.0, 5.6)
    above, below = picture.subplots(2, 1, sharex=True)
    _line(above, seen, columns["train/accuracy"], "accuracy")
    _percent(above, f"{_scored(task)}s")
    draw_references(above, {"chance": task.chance, **best.accuracy}, percent=True)
    _line(below, seen, columns["train/loss"], "loss")
    draw_references(below, best.loss)
    style.log_axis(below)
    below.set_ylabel(f"loss (nats per {_scored(task)})")
    for axes in (above, below):
        for index, at in enumerate(seen[1:][np.diff(longest) > 0]):
            name = "longer sequences from here" if index == 0 else None
            axes.axvline(at, color=style.GREY, lw=0.8, alpha=0.6, label=name)
    style.steps_axis(below, "sequences")
    below.set_xlim(left=0)
    above.set_title(title, loc="left")
    for axes in (above, below):
        style.tidy(axes)
        axes.legend(frameon=False, fontsize=style.FONT - 1, loc="best")
    style.save(picture, path)
    return picture


def draw_lengths(marks: Sequence[LengthScore], path: Path, *, task: Task, title: str) -> Figure:
    """Draw accuracy by length, with the lengths that were trained on shaded; write a PNG.

    Raises:
        RunError: the disk is full.
    """
    rows = sorted((mark.length or 0, mark) for mark in marks)
    lengths = [length for length, _ in rows]
    picture = style.new_figure(8.0, 3.6)
    axes = picture.subplots()
    axes.axvspan(task.min_length, task.max_length, color="#E8F0F6", label="trained on", zorder=0)
    accuracies = [mark.accuracy for _, mark in rows]
    axes.plot(lengths, accuracies, color=style.COLOURS[0], lw=2.0, marker="o", label="accuracy")
    if all(mark.best_accuracy is not None for _, mark in rows):
        best = [mark.best_accuracy or math.nan for _, mark in rows]
        axes.plot(lengths, best, color=style.COLOURS[2], lw=1.6, ls="--", label="best possible")
    _finish_shares(axes, task, "length", title)
    style.save(picture, path)
    return picture


def draw_groups(
    groups: Mapping[str, Sequence[float]], path: Path, *, task: Task, title: str
) -> Figure:
    """Draw the accuracy in each group of steps, of the memory and of controls; write a PNG.

    Raises:
        RunError: the disk is full.
    """
    picture = style.new_figure(8.0, 3.6)
    axes = picture.subplots()
    for index, (name, shares) in enumerate(groups.items()):
        look: dict[str, Any] = {"lw": 2.0, "marker": "o"} if index == 0 else {"lw": 1.6, "ls": "--"}
        axes.plot(range(1, len(shares) + 1), shares, color=style.COLOURS[index], label=name, **look)
    _finish_shares(axes, task, task.group, title)
    style.save(picture, path)
    return picture


def _finish_shares(axes: Axes, task: Task, label: str, title: str) -> None:
    """Axes, chance, title and legend of shares of a task's scored steps over whole numbers."""
    _percent(axes, f"{_scored(task)}s")
    draw_references(axes, {"chance": task.chance}, percent=True)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, loc="left")
    style.tidy(axes)
    axes.legend(frameon=False, fontsize=style.FONT - 1, loc="best")


class _Best(NamedTuple):
    accuracy: dict[str, float]
    loss: dict[str, float]


def _last_best(marks: Sequence[LengthScore]) -> _Best:
    """The best possible at the last length where it is known, by name; else nothing."""
    for mark in reversed(marks):
        if mark.best_accuracy is not None and mark.best_loss is not None:
            name = "best possible" if mark.length is None else f"best possible at {mark.length}"
            return _Best({name: mark.best_accuracy}, {name: mark.best_loss})
    return _Best({}, {})


def _line(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], name: str) -> None:
    window = 2 * (len(y) // _PARTS // 2) + 1
    colour = style.COLOURS[0]
    if window > 1:
        axes.plot(x, y, color=colour, alpha=0.25, lw=0.8)
        name = f"{name}, mean over {window} iterations"
    smooth = moving_mean(y, np.ones_like(y), window)
    marker = style.POINT if len(x) == 1 else None  # there is no line to see
    axes.plot(x, smooth, color=colour, lw=2.0, marker=marker, label=name)


def _percent(axes: Axes, what: str) -> None:
    axes.set_ylabel(f"{what} right (%)")
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))
    axes.set_ylim(-0.02, 1.02)


def _scored(task: Task) -> str:
    return "bit" if task.kind == "bits" else "answer"
