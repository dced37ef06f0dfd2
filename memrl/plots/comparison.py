"""compare.png: learning curves of several memories, with what the seeds leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memrl.evaluation.compare import Group
from memrl.evaluation.learning_curve import Curve
from memrl.evaluation.statistics import t_quantile
from memrl.plots import style as look
from memrl.plots.curve import FAINT, FEW, draw_references

_POINTS: Final = 200


def draw_comparison(
    groups: Sequence[Group],
    path: Path,
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw one panel an environment, one line a memory, and write it as PNG.

    A line is the mean over seeds of the smoothed curves and its band Student's 95 % t-interval;
    a single seed has no band. A line ends where its shortest run ends.

    Args:
        groups: as ``group_runs`` makes them.
        path: of the picture.
        references: levels by name, for each environment that has any.

    Raises:
        RunError: the disk is full.
    """
    envs = list(dict.fromkeys(group.env for group in groups))
    memories = list(dict.fromkeys(group.memory for group in groups))
    picture = look.new_figure(8.0 if len(envs) == 1 else 5.0 * len(envs), 4.4)
    panels = picture.subplots(1, len(envs), squeeze=False)[0]
    for axes, env in zip(panels, envs, strict=True):
        inside = [group for group in groups if group.env == env]
        for group in inside:
            _line(axes, group, *look.colour_and_style(memories.index(group.memory)))
        success = all(c.is_success for g in inside for c in g.curves)
        look.steps_axis(axes)
        look.score_axis(axes, success=success)
        draw_references(axes, (references or {}).get(env, {}), percent=success)
        axes.set_xlim(left=0)
        axes.set_title(env, loc="left")
        look.tidy(axes)
        legend = axes.legend(
            frameon=False,
            fontsize=look.FONT - 2,
            title="mean over seeds, band: 95 % t-interval;\n"
            "runs smoothed over 2 % of their length;\n"
            f"faint: fewer than {FEW} episodes",
            title_fontsize=look.FONT - 2,
        )
        legend.get_title().set_color(look.INK)
    look.save(picture, path)
    return picture


def band(curves: Sequence[Curve]) -> tuple[NDArray[np.float64], ...]:
    """Env steps, mean, low and high [P] of several runs on one grid, where all have data."""
    first = max(curve.env_steps[0] for curve in curves)
    last = min(curve.env_steps[-1] for curve in curves)
    grid = np.linspace(first, max(first, last), _POINTS)
    lines = np.stack([np.interp(grid, curve.env_steps, curve.smooth) for curve in curves])
    centre, seeds = lines.mean(axis=0), len(lines)
    if seeds == 1:
        return grid, centre, centre, centre
    reach = t_quantile(seeds - 1) * lines.std(axis=0, ddof=1) / np.sqrt(seeds)
    return grid, centre, centre - reach, centre + reach


def _counted(curve: Curve, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The episodes behind each point of a grid: those of the row before it."""
    row = np.searchsorted(curve.env_steps, grid, side="right") - 1
    return np.asarray(curve.episodes[row.clip(0)])


def _line(axes: Axes, group: Group, colour: str, style: str) -> None:
    grid, centre, low, high = band(group.curves)
    if all(curve.is_success for curve in group.curves):
        low, high = low.clip(0, 1), high.clip(0, 1)
    seeds = f"{len(group.seeds)} seed{'s' if len(group.seeds) > 1 else ''}"
    label = f"{group.memory} ({seeds})"
    marker = look.POINT if grid[0] == grid[-1] else None  # there is no line to see
    few = np.sum([_counted(curve, grid) for curve in group.curves], axis=0) < FEW
    looks: dict[str, Any] = {"color": colour, "ls": style, "lw": 2.0, "marker": marker}
    if few.any():
        axes.plot(grid, centre, **looks, alpha=FAINT, label=label if few.all() else None)
    if not few.all():
        axes.plot(grid, np.where(few, np.nan, centre), **looks, label=label)
    if len(group.seeds) > 1:
        axes.fill_between(grid, low, high, color=colour, alpha=0.18, lw=0)
