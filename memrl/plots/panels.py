"""The parts of a frame of episode.gif: pictures, words, and what the memory holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from memrl.evaluation.recording import Picture
from memrl.plots import style
from memrl.plots.memory import colour_range, counted, plain_name
from memrl.plots.signals import NAMED_ENTRIES, Signal

Update: TypeAlias = Callable[[int], None]  # shows a step

_FEWEST_ROWS: Final = 5  # room for so many: bars of two entries would be beams
_MAX_BARS: Final = 64  # a row with more slots than this is a strip of colour


def picture_panel(axes: Axes, name: str, frames: list[Picture | None]) -> Update:
    """A picture a step; where there is none, the last one stays and the title says so."""
    first = next(frame for frame in frames if frame is not None)
    image = axes.imshow(first, interpolation="nearest")
    title = axes.set_title(name, loc="left", fontsize=style.FONT - 1, color=style.INK)
    axes.set_axis_off()

    def update(t: int) -> None:
        frame = frames[t]
        title.set_text(name if frame is not None else f"{name}, before the last step")
        if frame is not None:
            image.set_data(frame)

    return update


def memory_panel(
    axes: Axes, name: str, values: NDArray[np.float64], *, entries: str | None = None
) -> Update:
    """Bars for one row of slots; colours for several heads, many slots or many units.

    ``entries`` says what they are, where it is no slot or unit of a memory.
    """
    rows = values.reshape(len(values), -1, values.shape[-1])  # [T, R, N]
    rows = np.concatenate([rows, rows[-1:]])  # nothing is read after the last action
    _, heads, count = rows.shape
    limits, entries = colour_range(values), entries or counted(name)
    style.tidy(axes)
    axes.set_title(plain_name(name), loc="left", fontsize=style.FONT - 1)
    if count > 1:
        axes.set_xlabel(entries, fontsize=style.FONT - 2, labelpad=1)
    if heads == 1 and count <= _MAX_BARS:
        return _bars(axes, rows[:, 0], limits)
    if heads > 1 or entries != "unit":
        update = _colours(axes, rows, limits)
        _number_entries(axes, count)
        labelled = heads if heads > 1 else 0
        axes.set_yticks(range(labelled), [f"head {r + 1}" for r in range(labelled)])
        return update
    axes.set_xlabel(f"{count} units, row by row", fontsize=style.FONT - 2, labelpad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    return _colours(axes, _folded(rows[:, 0]), limits)


def _bars(axes: Axes, rows: NDArray[np.float64], limits: tuple[str, float, float]) -> Update:
    count = rows.shape[1]
    bars = axes.bar(range(count), rows[0], color=style.COLOURS[0], width=0.85)
    axes.set_ylim(*limits[1:])
    axes.set_xlim(-0.6, count - 0.4)
    _number_entries(axes, count)

    def update(t: int) -> None:
        for bar, height in zip(bars, rows[t], strict=True):
            bar.set_height(height)

    return update


def _colours(axes: Axes, rows: NDArray[np.float64], limits: tuple[str, float, float]) -> Update:
    colours, low, high = limits
    image = axes.imshow(
        rows[0], aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    axes.grid(visible=False)
    style.colour_bar(axes, image)
    return lambda t: image.set_data(rows[t])


def _folded(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Many units [T, N] as a block [T, H, W] about twice as wide as high.

    In one row they would be stripes that nobody can tell apart.
    """
    count = rows.shape[1]
    width = math.ceil(math.sqrt(2 * count))
    height = math.ceil(count / width)
    padded = np.full((len(rows), width * height), np.nan)
    padded[:, :count] = rows
    return padded.reshape(len(rows), height, width)


def vector_panel(axes: Axes, signal: Signal) -> Update:
    """Bars for the entries of a vector, each with its number where they are few."""
    values = signal.values
    count = values.shape[1]
    if count > NAMED_ENTRIES:
        return memory_panel(axes, signal.name, signal.values, entries="entry")
    names = signal.entries or tuple(map(str, range(count)))
    axes.set_title(signal.name, loc="left", fontsize=style.FONT - 1)
    bars = axes.barh(range(count), values[0], color=style.INK, height=0.7)
    end = float(np.abs(values).max()) or 1.0
    low, high = float(values.min()), float(values.max())
    axes.set_xlim(-1.05 * end if low < 0 else 0.0, 1.05 * end if high > 0 or low == 0 else 0.0)
    axes.set_ylim(max(count, _FEWEST_ROWS) - 0.4, -0.6)
    axes.axvline(0.0, color=style.GREY, lw=0.8)
    style.tidy(axes)
    axes.grid(visible=False)

    def update(t: int) -> None:
        for bar, number in zip(bars, values[t], strict=True):
            bar.set_width(number)
        told = [f"{name}  {number:+8.3f}" for name, number in zip(names, values[t], strict=True)]
        axes.set_yticks(range(count), told, family="monospace")

    return update


def _number_entries(axes: Axes, count: int) -> None:
    """Whole numbers along x; a single entry needs none."""
    if count == 1:
        axes.set_xticks([])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))


def text_panel(axes: Axes, name: str, texts: Sequence[str]) -> Update:
    """A few lines a step."""
    axes.set_title(name, loc="left", fontsize=style.FONT - 1, color=style.INK)
    axes.set_axis_off()
    letters: dict[str, Any] = {
        "family": "monospace",
        "fontsize": style.FONT + 1,
        "color": style.INK,
    }
    lines = axes.text(0.0, 0.98, texts[0], va="top", transform=axes.transAxes, **letters)
    return lambda t: lines.set_text(texts[t])
