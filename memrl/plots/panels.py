"""The parts of a frame of episode.gif: pictures, words, and what the memory holds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory
from numpy.typing import NDArray

from memrl.evaluation.recording import Picture
from memrl.plots import style
from memrl.plots.bars import Bars
from memrl.plots.memory import colour_range, counted, named_heads, plain_name
from memrl.plots.signals import NAMED_ENTRIES, Signal
from memrl.plots.words import Words


class Moving(NamedTuple):
    """What changes in a panel from step to step."""

    artists: Sequence[Artist]
    show: Callable[[int], None]  # makes them those of a step, whichever was shown before


_FEWEST_ROWS: Final = 5  # room for so many: bars of two entries would be beams
_MAX_BARS: Final = 64  # a row with more slots than this is a strip of colour


def picture_panel(axes: Axes, name: str, frames: list[Picture | None]) -> Moving:
    """A picture a step; where there is none, the last one stays and the title says so."""
    there = [t for t, frame in enumerate(frames) if frame is not None]
    image = axes.imshow(np.asarray(frames[there[0]]), interpolation="nearest")
    title = _title(axes)
    axes.set_axis_off()

    def show(t: int) -> None:
        latest = there[max(bisect_right(there, t) - 1, 0)]
        title.text = name if latest == t else f"{name}, before the last step"
        image.set_data(np.asarray(frames[latest]))

    return Moving((image, title), show)


def memory_panel(
    axes: Axes, name: str, values: NDArray[np.float64], *, entries: str | None = None
) -> Moving:
    """A line for one number a step, bars for one row of slots, else colours.

    ``entries`` says what they are, where it is no slot or unit of a memory.
    """
    rows = values.reshape(len(values), -1, values.shape[-1])  # [T, R, N]
    rows = np.concatenate([rows, rows[-1:]])  # nothing is read after the last action
    _, heads, count = rows.shape
    limits, entries = colour_range(values), entries or counted(name)
    style.tidy(axes)
    axes.set_title(plain_name(name), loc="left", fontsize=style.FONT - 1)
    if heads == count == 1:
        return _line(axes, values.reshape(-1), limits)
    if count > 1:
        axes.set_xlabel(entries, fontsize=style.FONT - 2, labelpad=1)
    if heads == 1 and count <= _MAX_BARS:
        return _bars(axes, rows[:, 0], limits)
    if heads > 1 or entries != "unit":
        update = _colours(axes, rows, limits)
        _number_entries(axes, count)
        named = named_heads(heads)
        axes.set_yticks(named, [f"head {r + 1}" for r in named])
        return update
    axes.set_xlabel(f"{count} units, row by row", fontsize=style.FONT - 2, labelpad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    return _colours(axes, _folded(rows[:, 0]), limits)


def _line(axes: Axes, numbers: NDArray[np.float64], limits: tuple[str, float, float]) -> Moving:
    """The numbers [T] up to a step, as a line whose last value is told."""
    steps, (_, low, high) = len(numbers), limits
    room = 0.05 * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(0.5, steps + 0.5)
    ends = sorted({1, steps})
    axes.set_xticks(ends, [f"step {end}" for end in ends])
    (course,) = axes.plot([], [], color=style.COLOURS[0], lw=1.8)
    (now,) = axes.plot([], [], color=style.COLOURS[0], marker=style.POINT, ms=5, clip_on=False)
    told = _title(axes, right=True)

    def show(t: int) -> None:
        last = min(t + 1, steps)
        course.set_data(np.arange(1, last + 1), numbers[:last])
        now.set_data([last], numbers[last - 1 : last])
        told.text = f"{numbers[last - 1]:.3g}"

    return Moving((course, now, told), show)


def _bars(axes: Axes, rows: NDArray[np.float64], limits: tuple[str, float, float]) -> Moving:
    count = rows.shape[1]
    bars = Bars(rows[0], width=0.85, colour=style.COLOURS[0])
    axes.add_patch(bars)
    axes.set_ylim(*limits[1:])
    axes.set_xlim(-0.6, count - 0.4)
    _number_entries(axes, count)

    return Moving((bars,), lambda t: bars.set_heights(rows[t]))


def _colours(axes: Axes, rows: NDArray[np.float64], limits: tuple[str, float, float]) -> Moving:
    colours, low, high = limits
    image = axes.imshow(
        rows[0], aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    axes.grid(visible=False)
    style.colour_bar(axes, image)
    return Moving((image,), lambda t: image.set_data(rows[t]))


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


def vector_panel(axes: Axes, signal: Signal) -> Moving:
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
    axes.set_yticks(range(count), [""] * count)
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    letters: dict[str, Any] = {"colour": style.INK, "size": style.FONT - 1, "family": "monospace"}
    told = [
        Words(-0.03, float(i), beside, anchor="middle", right=True, **letters) for i in range(count)
    ]
    for words in told:
        axes.add_artist(words)

    def show(t: int) -> None:
        for name, bar, text, number in zip(names, bars, told, values[t], strict=True):
            bar.set_width(number)
            text.text = f"{name}  {number:+8.3f}"

    return Moving((*bars, *told), show)


def _number_entries(axes: Axes, count: int) -> None:
    """Whole numbers along x; a single entry needs none."""
    if count == 1:
        axes.set_xticks([])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))


def text_panel(axes: Axes, name: str, texts: Sequence[str]) -> Moving:
    """A few lines a step."""
    axes.set_title(name, loc="left", fontsize=style.FONT - 1, color=style.INK)
    axes.set_axis_off()
    letters: dict[str, Any] = {"colour": style.INK, "size": style.FONT + 1, "family": "monospace"}
    lines = Words(0.0, 0.98, axes.transAxes, **letters)
    axes.add_artist(lines)

    def show(t: int) -> None:
        lines.text = texts[t]

    return Moving((lines,), show)


def _title(axes: Axes, *, right: bool = False) -> Words:
    """A title that changes, where titles are."""
    above = ScaledTranslation(0.0, 6 / 72, axes.figure.dpi_scale_trans)
    words = Words(
        float(right),
        1.0,
        axes.transAxes + above,
        colour=style.INK,
        size=style.FONT - 1,
        anchor="baseline",
        right=right,
    )
    axes.add_artist(words)
    return words
