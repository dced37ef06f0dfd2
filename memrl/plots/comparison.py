"""compare.png: learning curves of several memories, with what the seeds leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memrl.evaluation.compare import Bounds, Group
from memrl.evaluation.learning_curve import Curve
from memrl.evaluation.statistics import t_quantile
from memrl.plots import style
from memrl.plots.curve import FAINT, FEW, draw_references
from memrl.tracking.metrics_file import unit_as_text

_POINTS: Final = 200
_FEW_SEEDS: Final = 2  # so few are drawn one by one: their interval would say nothing


def draw_comparison(
    groups: Sequence[Group],
    path: Path,
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw one panel a task, one colour a memory, and write it.

    One or two seeds are a thin line each. Of more, a line is the mean of the smoothed curves and
    its band Student's 95 % t-interval, inside what is possible; it ends where its shortest run
    ends.

    Args:
        groups: as ``group_runs`` makes them.
        path: of the picture; its suffix is one of ``style.FORMATS``.
        references: levels by name, for each task that has any.

    Raises:
        RunError: the disk is full.
    """
    tasks = list(dict.fromkeys(group.task for group in groups))
    memories = list(dict.fromkeys(group.memory for group in groups))
    picture = style.new_figure(8.0 if len(tasks) == 1 else 5.0 * len(tasks), 4.4)
    panels = picture.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        inside = [group for group in groups if group.task == task]
        for group in inside:
            _draw(axes, group, *style.colour_and_dashes(memories.index(group.memory)))
        measures = {curve.measure for group in inside for curve in group.curves}
        style.steps_axis(axes, unit_as_text(inside[0].unit))
        style.score_axis(axes, measures.pop() if len(measures) == 1 else "return")
        shares = all(curve.is_share for group in inside for curve in group.curves)
        draw_references(axes, (references or {}).get(task, {}), percent=shares)
        axes.set_xlim(left=0)
        axes.set_title(task, loc="left")
        style.tidy(axes)
        _legend(axes, inside)
    style.save(picture, path)
    return picture


def band(
    curves: Sequence[Curve], bounds: Bounds = (-np.inf, np.inf)
) -> tuple[NDArray[np.float64], ...]:
    """Experience, mean, low and high [P] of several runs on one grid, where all have data."""
    first = max(curve.experience[0] for curve in curves)
    last = min(curve.experience[-1] for curve in curves)
    grid = np.linspace(first, max(first, last), _POINTS)
    lines = np.stack([np.interp(grid, curve.experience, curve.smooth) for curve in curves])
    centre, seeds = lines.mean(axis=0), len(lines)
    if seeds == 1:
        return grid, centre, centre, centre
    reach = t_quantile(seeds - 1) * lines.std(axis=0, ddof=1) / np.sqrt(seeds)
    low, high = np.clip(centre - reach, *bounds), np.clip(centre + reach, *bounds)
    return grid, centre, np.minimum(low, centre), np.maximum(high, centre)


def _legend(axes: Axes, groups: Sequence[Group]) -> None:
    """Names, and what lines and bands are."""
    few = [len(group.seeds) <= _FEW_SEEDS for group in groups]
    what = []
    if not all(few):
        what.append("mean over seeds, band: 95 % t-interval")
    if any(few) and not all(few):
        what.append("thin: one line a seed")
    what.append("smoothed over 2 % of a run")
    if any((curve.episodes < FEW).any() for group in groups for curve in group.curves):
        what.append(f"faint: fewer than {FEW} episodes")
    legend = axes.legend(
        frameon=False, fontsize=style.FONT - 2, title="\n".join(what), title_fontsize=style.FONT - 2
    )
    legend.get_title().set_color(style.INK)
    style.halo(legend)


def _draw(axes: Axes, group: Group, colour: str, dashes: str) -> None:
    seeds = f"{len(group.seeds)} seed{'s' if len(group.seeds) > 1 else ''}"
    label = f"{group.memory} ({seeds})"
    if len(group.seeds) > _FEW_SEEDS:
        grid, centre, low, high = band(group.curves, group.bounds)
        episodes = np.sum([_counted(curve, grid) for curve in group.curves], axis=0)
        axes.fill_between(grid, low, high, color=colour, alpha=0.18, lw=0)
        _line(axes, grid, centre, episodes, label, {"color": colour, "ls": dashes, "lw": 2.0})
        return
    for i, curve in enumerate(group.curves):
        look = {"color": colour, "ls": dashes, "lw": 1.2}
        name = None if i else label
        _line(axes, curve.experience, curve.smooth, curve.episodes, name, look)


def _line(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    episodes: NDArray[np.float64],
    label: str | None,
    look: dict[str, Any],
) -> None:
    """A line, faint where few episodes are behind it."""
    few = episodes < FEW
    look = {**look, "marker": style.POINT if x[0] == x[-1] else None}  # there is no line to see
    if few.any():
        axes.plot(x, y, **look, alpha=FAINT, label=label if few.all() else None)
    if not few.all():
        axes.plot(x, np.where(few, np.nan, y), **look, label=label)


def _counted(curve: Curve, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The episodes behind each point of a grid: those of the row before it."""
    row = np.searchsorted(curve.experience, grid, side="right") - 1
    return np.asarray(curve.episodes[row.clip(0)])
