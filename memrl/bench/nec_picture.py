"""Returns after some numbers of env steps: a panel a task, a line a learner, bands over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from memrl.run import figure as look
from memrl.run.statistics import mean

Marks = Mapping[int, list[float]]  # env steps: a return for each seed


def draw_marks(returns: Mapping[tuple[str, str], Marks], path: Path) -> Figure:
    """Draw returns by task and learner as PNG; a band is Student's 95 % t-interval over seeds.

    Raises:
        RunError: the disk is full.
    """
    tasks = list(dict.fromkeys(task for task, _ in returns))
    learners = list(dict.fromkeys(learner for _, learner in returns))
    picture = look.new_figure(4.2 * len(tasks), 3.8)
    panels = picture.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for learner in learners:
            marks = returns.get((task, learner), {})
            over = [mean(values) for values in marks.values()]
            colour, _ = look.colour_and_style(learners.index(learner))
            seeds = max((estimate.samples for estimate in over), default=0)
            label = f"{learner} ({seeds} seed{'s' if seeds != 1 else ''})"
            axes.plot(list(marks), [e.mean for e in over], "o-", color=colour, lw=2.0, label=label)
            if seeds > 1:
                low, high = np.array([(e.low, e.high) for e in over]).T
                axes.fill_between(list(marks), low, high, color=colour, alpha=0.18, lw=0)
        look.steps_axis(axes)
        look.score_axis(axes, success=False)
        axes.set_xlim(left=0)
        axes.set_title(task, loc="left")
        look.tidy(axes)
        axes.legend(frameon=False, fontsize=look.FONT - 2)
    look.save(picture, path)
    return picture
