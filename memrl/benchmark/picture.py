"""The figure of a benchmark: a panel a task, a point and its interval a memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memrl.benchmark.plan import CONTROLS, Plan, Size
from memrl.benchmark.scores import Row
from memrl.plots import style

COLUMNS: Final = 4
WHAT: Final = (
    "Points: mean over seeds, which are the ticks; lines: 95 % intervals; dotted: what the best "
    "policy without a memory reaches, and the optimum. Grey: controls."
)


def draw_table(plan: Plan, rows: Sequence[Row], path: Path) -> Figure:
    """Draw the scores of all memories; the levels without a memory and of the best are lines.

    Raises:
        RunError: the disk is full.
    """
    tasks = [task for task in plan.tasks if any(row.task == task for row in rows)]
    there = {row[1:3] for row in rows}
    memories = [
        (memory, size)
        for size, memory in product(plan.sizes, plan.memories)
        if (memory, size) in there
    ]
    columns = min(COLUMNS, len(tasks))
    height = 0.9 + 0.27 * len(memories)
    lines = math.ceil(len(tasks) / columns)
    picture = style.new_figure(1.2 + 2.7 * columns, 0.3 + height * lines)
    panels = picture.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, task in zip(panels.flat, tasks, strict=False):
        _panel(axes, plan, task, memories, [row for row in rows if row.task == task])
    for axes in list(panels.flat)[len(tasks) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(memories)), [plan.label(*memory) for memory in memories])
        axes.set_ylim(len(memories) - 0.5, -0.5)
    picture.supxlabel(WHAT, fontsize=style.FONT - 1, wrap=True)
    style.save(picture, path)
    return picture


def _panel(
    axes: Axes, plan: Plan, task: str, memories: list[tuple[str, Size]], rows: Sequence[Row]
) -> None:
    recipe = plan.tasks[task]
    style.tidy(axes)
    axes.grid(axis="y", visible=False)
    for level in (recipe.low, recipe.high):
        axes.axvline(level, color=style.GREY, linewidth=0.8, linestyle=":")
    for row in rows:
        y, score = memories.index((row.memory, row.size)), row.score
        colour = style.GREY if row.memory in CONTROLS else style.COLOURS[0]
        if score.samples > 1:
            axes.plot([score.low, score.high], [y, y], color=colour, linewidth=1.6)
        axes.plot(score.mean, y, style.POINT, color=colour, markersize=5)
        axes.plot(row.scores, [y] * len(row.scores), "|", color=colour, markersize=7)
    axes.set_title(task, loc="left", fontsize=style.FONT)
    axes.set_xlabel(recipe.score)
