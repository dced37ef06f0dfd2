"""A picture of returns after some numbers of env steps: a panel per task, a line per learner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from memrl.plots import style

Marks = Mapping[int, list[float]]  # env steps -> a return for each seed


def draw_marks(returns: Mapping[tuple[str, str], Marks], path: Path) -> Figure:
    """Draw returns by task and learner as PNG: means, with bands from the worst to the best seed.

    Raises:
        RunError: the disk is full.
    """
    tasks = list(dict.fromkeys(task for task, _ in returns))
    learners = list(dict.fromkeys(learner for _, learner in returns))
    picture = style.new_figure(4.2 * len(tasks), 3.8)
    panels = picture.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for learner in learners:
            marks = returns[task, learner]
            values = np.array(list(marks.values()))  # [marks, seeds]
            colour, _ = style.colour_and_dashes(learners.index(learner))
            seeds = values.shape[1]
            label = f"{learner} ({seeds} seed{'s' if seeds != 1 else ''})"
            axes.plot(list(marks), values.mean(axis=1), "o-", color=colour, lw=2.0, label=label)
            low, high = values.min(axis=1), values.max(axis=1)
            axes.fill_between(list(marks), low, high, color=colour, alpha=0.18, lw=0)
        style.steps_axis(axes)
        style.score_axis(axes, "return")
        axes.set_xlim(left=0)
        axes.set_title(task, loc="left")
        style.tidy(axes)
        axes.legend(frameon=False, fontsize=style.FONT - 2)
    style.save(picture, path)
    return picture
