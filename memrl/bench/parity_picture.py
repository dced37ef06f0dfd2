"""A picture of how learners learn: a column per task, a row per quantity, a line per learner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memrl.bench.run_file import RunKey
from memrl.plots import style

ROWS: Final = {
    "kl": "KL (nats)",
    "clip_fraction": "clip fraction",
    "gradient/memory": "gradient norm, memory",
    "gradient/heads": "gradient norm, heads",
}


def draw_courses(runs: Mapping[RunKey, Mapping[str, Any]], path: Path) -> Figure:
    """Draw the means over seeds of what runs noted of each iteration.

    The axes are logarithmic, but for clip fractions, which are often 0.

    Raises:
        RunError: the disk is full.
    """
    tasks = list(dict.fromkeys(key.task for key in runs))
    learners = sorted({key.learner for key in runs})
    picture = style.new_figure(3.6 * len(tasks), 2.3 * len(ROWS))
    panels = picture.subplots(len(ROWS), len(tasks), squeeze=False, sharex="col")
    for axes, label in zip(panels[:, 0], ROWS.values(), strict=True):
        axes.set_ylabel(label)
    for column, task in zip(panels.T, tasks, strict=True):
        for axes, quantity in zip(column, ROWS, strict=True):
            for i, learner in enumerate(learners):
                courses = [run["course"] for key, run in runs.items() if key[:2] == (task, learner)]
                _line(axes, [c for c in courses if quantity in c], quantity, learner, i)
            if quantity != "clip_fraction":
                style.log_axis(axes)
            style.tidy(axes)
        column[0].set_title(task, loc="left")
        style.steps_axis(column[-1])
    handles = {line.get_label(): line for axes in panels.flat for line in axes.get_lines()}
    panels[0, 0].legend(handles.values(), handles.keys(), frameon=False, fontsize=style.FONT - 2)
    style.save(picture, path)
    return picture


def _line(
    axes: Axes, courses: list[Mapping[str, list[float]]], quantity: str, label: str, index: int
) -> None:
    if not courses:
        return
    shortest = min(len(course[quantity]) for course in courses)
    values = np.mean([course[quantity][:shortest] for course in courses], axis=0)
    colour, dashes = style.colour_and_dashes(index)
    steps = courses[0]["env_steps"][:shortest]
    axes.plot(steps, values, dashes, color=colour, lw=1.8, label=label)
