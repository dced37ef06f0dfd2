"""What was observed, done and earned, as rows over the steps of an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from memrl.evaluation.recording import Picture
from memrl.plots import style
from memrl.plots.bars import Bars

NAMED_ENTRIES: Final = 12  # a signal with more is a strip whose entries have no names
_ENTRY_INCHES: Final = 0.2
_TITLE_INCHES: Final = 0.42
_STRIP_INCHES: Final = 1.5
_THUMBNAILS: Final = 11  # that fit beside each other
REWARD_INCHES: Final = _TITLE_INCHES + 0.5
VIEWS_INCHES: Final = 1.05


class Signal(NamedTuple):
    """One thing that an agent observed or did at each of T steps."""

    name: str
    values: NDArray[np.float64]  # [T, N]
    entries: tuple[str, ...]  # what the N are called; empty where they have no names
    chosen: bool  # each step has one entry that is 1, the others are 0: a symbol or an action


def signal_height(signal: Signal) -> float:
    """Inches for the panel of a signal."""
    count = signal.values.shape[1]
    if count == 1:
        return _TITLE_INCHES + 0.5
    return _TITLE_INCHES + (_ENTRY_INCHES * count if count <= NAMED_ENTRIES else _STRIP_INCHES)


def draw_signal(axes: Axes, signal: Signal, *, colour: str) -> None:
    """Draw a signal over time: filled cells, a line for a single number, or a strip of colours.

    Of a vector with few entries, each entry has a scale of its own, whose ends its name tells.
    """
    values, count = signal.values, signal.values.shape[1]
    style.tidy(axes)
    if count == 1 and not signal.chosen:
        axes.set_title(signal.name, loc="left")
        axes.plot(values[:, 0], color=colour, lw=1.8, marker=style.POINT, ms=3)
        return
    axes.grid(visible=False)
    if signal.chosen:
        axes.set_title(signal.name, loc="left")
        _cells(axes, values.T, colour)
        axes.set_yticks(range(count), signal.entries)
    elif count <= NAMED_ENTRIES:
        axes.set_title(f"{signal.name} (each entry on its own scale)", loc="left")
        largest = np.abs(values).max(axis=0)
        scaled = values / np.where(largest > 0, largest, 1.0)
        _image(axes, scaled.T, 1.0)
        names = signal.entries or tuple(map(str, range(count)))
        ends = [f"{name}: ±{end:.2g}" for name, end in zip(names, largest, strict=True)]
        axes.set_yticks(range(count), ends)
    else:
        axes.set_title(signal.name, loc="left")
        image = _image(axes, values.T, float(np.abs(values).max()) or 1.0)
        axes.set_ylabel("entry")
        style.colour_bar(axes, image)


def draw_reward(axes: Axes, rewards: NDArray[np.float64]) -> None:
    """A bar for each reward, at the step of its action."""
    axes.set_title("reward after the action", loc="left")
    axes.add_patch(Bars(rewards, width=0.8, colour=style.COLOURS[2]))
    axes.axhline(0.0, color=style.GREY, lw=0.8)
    axes.autoscale_view(scalex=False)  # a patch alone changes no limits
    if not rewards.any():
        axes.set_yticks([0.0], ["0"])
    style.tidy(axes)


def draw_views(axes: Axes, views: Sequence[Picture | None]) -> None:
    """Small pictures of what was seen, at their steps; of a long episode only some."""
    count = len(views)
    shown = min(count, _THUMBNAILS)
    some = f", at {shown} of {count} steps" if shown < count else ""
    axes.set_title(f"what the agent sees{some}", loc="left")
    half = 0.46 * max(count / _THUMBNAILS, 0.5)
    for centre in np.linspace(half - 0.5, count - 0.5 - half, shown):  # whole at both ends
        view = views[round(float(centre))]
        if view is not None:
            extent = (centre - half, centre + half, 0.0, 1.0)
            axes.imshow(view, extent=extent, aspect="auto", interpolation="nearest")
    style.tidy(axes)
    axes.grid(visible=False)
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])


def _cells(axes: Axes, values: NDArray[np.float64], colour: str) -> None:
    """Fill the cells of ``values`` [N, T] that are 1."""
    count, steps = values.shape
    for row in range(count):
        spans = [(t - 0.5, 1.0) for t in np.flatnonzero(values[row])]
        axes.broken_barh(spans, (row - 0.4, 0.8), color=colour, lw=0)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_xlim(-0.5, steps - 0.5)
    for row in range(count):
        axes.axhline(row, color="#E5E5E5", lw=0.8, zorder=0)


def _image(axes: Axes, values: NDArray[np.float64], largest: float) -> AxesImage:
    return axes.imshow(
        values, aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest"
    )
