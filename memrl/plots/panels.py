"""The parts of a frame of episode.gif: pictures, words, and what the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from memrl.evaluation.recording import Picture
from memrl.plots import style
from memrl.plots.memory import colour_range, counted, plain_name

Update: TypeAlias = Callable[[int], None]  # shows a step

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


def memory_panel(axes: Axes, name: str, values: NDArray[np.float64]) -> Update:
    """Bars for one row of slots, a strip of colour for several heads or many slots."""
    rows = values.reshape(len(values), -1, values.shape[-1])  # [T, R, N]
    rows = np.concatenate([rows, rows[-1:]])  # nothing is read after the last action
    colours, low, high = colour_range(values)
    style.tidy(axes)
    axes.set_title(plain_name(name), loc="left", fontsize=style.FONT - 1)
    if rows.shape[2] > 1:
        axes.set_xlabel(counted(name), fontsize=style.FONT - 2, labelpad=1)
    if rows.shape[1] == 1 and rows.shape[2] <= _MAX_BARS:
        bars = axes.bar(range(rows.shape[2]), rows[0, 0], color=style.COLOURS[0], width=0.85)
        axes.set_ylim(low, high)
        axes.set_xlim(-0.6, rows.shape[2] - 0.4)
        _number_entries(axes, rows.shape[2])

        def update(t: int) -> None:
            for bar, height in zip(bars, rows[t, 0], strict=True):
                bar.set_height(height)

        return update

    image = axes.imshow(
        rows[0], aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    axes.grid(visible=False)
    style.colour_bar(axes, image)
    _number_entries(axes, rows.shape[2])
    heads = rows.shape[1] if rows.shape[1] > 1 else 0
    axes.set_yticks(range(heads), [f"head {r + 1}" for r in range(heads)])
    return lambda t: image.set_data(rows[t])


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
