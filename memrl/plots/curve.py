"""curve.png: how well an agent did while it learned, beside levels to compare it with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memrl.evaluation.learning_curve import Curve, read_curve
from memrl.evaluation.statistics import Estimate
from memrl.plots import style

FEW: Final = 20  # episodes: a mean of fewer is hardly one
FAINT: Final = 0.3
_LINE: Final = 1 / 400  # half the width of a line, as a part of the height of a picture


def draw_curve(
    metrics: Path,
    path: Path,
    *,
    references: Mapping[str, float] | None = None,
    evaluated: Mapping[str, Estimate | None] | None = None,
    title: str = "",
) -> Figure:
    """Draw a run's success (or return) over env steps and write it as PNG.

    The curve is of training, where an agent also explores; ``evaluated`` is how it does at the end.

    Args:
        metrics: the run's metrics.csv.
        path: of the picture.
        references: levels by name, in [0, 1] where the task has a success, else returns.
        evaluated: ``success`` and ``return`` over fresh episodes.
        title: above the picture.

    Raises:
        RunError: no episode has ended yet, or the disk is full.
    """
    curve = read_curve(metrics)
    picture = style.new_figure(8.0, 4.2)
    axes = picture.subplots()
    colour = style.COLOURS[0]
    name: str = curve.measure
    if curve.window > 1:
        axes.plot(curve.experience, curve.score, color=colour, alpha=0.25, lw=0.8, label=name)
        name = f"{name}, mean over {curve.window} iterations"
    draw_line(axes, curve, name, colour)
    if (estimate := (evaluated or {}).get(curve.measure)) is not None:
        draw_estimate(axes, float(curve.experience[-1]), estimate)
    style.steps_axis(axes)
    style.score_axis(axes, curve.measure)
    draw_references(axes, references or {}, percent=curve.is_share)
    axes.set_xlim(left=0)
    axes.set_title(title, loc="left")
    style.tidy(axes)
    style.halo(axes.legend(frameon=False, fontsize=style.FONT - 1, loc="best"))
    style.save(picture, path)
    return picture


def draw_references(axes: Axes, references: Mapping[str, float], *, percent: bool = False) -> None:
    """Horizontal lines, named in the legend with their values; equal ones are one line."""
    low, high = axes.get_ylim()
    reach = max(high, *references.values(), low) - min(low, *references.values(), high)
    alike: dict[float, list[str]] = {}
    for name, level in references.items():
        near = (known for known in alike if abs(known - level) <= _LINE * reach)
        alike.setdefault(next(near, level), []).append(name)
    for index, (level, names) in enumerate(alike.items()):
        dashes = (0, (6 - 2 * (index % 3), 2 + index % 3))
        value = f"{100 * level:.3g} %" if percent else f"{level:.3g}"
        label = f"{' = '.join(names)}, {value}"
        axes.axhline(level, color=style.GREY, lw=1.2, ls=dashes, label=label, zorder=1)


def draw_line(axes: Axes, curve: Curve, name: str, colour: str) -> None:
    """The smoothed curve, faint where fewer than 20 episodes speak for a point."""
    few = curve.episodes < FEW
    marker = style.POINT if len(curve.experience) == 1 else None  # there is no line to see
    line: dict[str, Any] = {"color": colour, "lw": 2.0, "marker": marker}
    if few.any():
        of = f"{name}, of fewer than {FEW} episodes"
        axes.plot(curve.experience, curve.smooth, **line, alpha=FAINT, label=of)
    if not few.all():
        solid = np.where(few, np.nan, curve.smooth)
        axes.plot(curve.experience, solid, **line, label=name)


def draw_estimate(axes: Axes, experience: float, estimate: Estimate) -> None:
    """A point with its interval, which a single episode does not have."""
    mean, low, high, _, samples = estimate
    episodes = "a fresh episode" if samples == 1 else f"{samples:,} fresh episodes"
    reach = None if samples == 1 else [[mean - low], [high - mean]]
    look: dict[str, Any] = {"color": style.COLOURS[1], "fmt": style.POINT, "capsize": 3}
    axes.errorbar(experience, mean, reach, **look, label=f"{episodes} at the end", clip_on=False)
