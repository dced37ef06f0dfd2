"""memory.png: an episode on one time axis: what was seen and done, and what the memory held."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from memrl.errors import RunError
from memrl.evaluation.recording import Recording, ending
from memrl.plots import style
from memrl.plots.signals import (
    REWARD_INCHES,
    VIEWS_INCHES,
    Signal,
    draw_reward,
    draw_signal,
    draw_views,
    signal_height,
)

Panel: TypeAlias = tuple[float, Callable[[Axes], None]]

_CUE: Final = "#009E73"
_MOST_NAMES: Final = 8  # of heads, or they would lie over each other
_MOST_UNITS: Final = 32  # a panel with more rows is a blur


def draw_memory(
    recording: Recording,
    path: Path,
    *,
    title: str = "",
    observed: Sequence[Signal] = (),
    done: Signal | None = None,
) -> Figure:
    """Draw a recorded episode over its steps, and write it as PNG.

    On top stands what was observed, done and earned; below it every diagnostic of the memory, one
    panel each. Weights and other values that are never negative run from white (0) to dark (their
    largest in this episode); signed ones from blue over white (0) to red. Several read heads lie
    below each other; a diagnostic that is one number a step is a line.

    Args:
        recording: the episode.
        path: of the picture.
        title: the first line of its headline.
        observed: what the agent observed beside pictures, which the recording has itself.
        done: what the agent did.

    Raises:
        RunError: the memory shows no diagnostics, or the disk is full.
    """
    if not recording.memory:
        raise RunError("this memory shows no diagnostics: there is nothing to draw in memory.png")
    panels = [*_episode_panels(recording, observed, done), *_memory_panels(recording)]
    heights = [height for height, _ in panels]
    picture = style.new_figure(8.0, 1.0 + sum(heights))
    column = picture.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (_, draw) in zip(column, panels, strict=True):
        draw(axes)
        if recording.cue_step is not None:
            axes.axvline(recording.cue_step, color=_CUE, lw=1.8, ls="--")
    column[-1].set_xlabel("step of the episode")
    column[-1].set_xlim(-0.5, recording.length - 0.5)
    column[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _headline(picture, recording, title)
    style.save(picture, path)
    return picture


def _episode_panels(
    recording: Recording, observed: Sequence[Signal], done: Signal | None
) -> Iterator[Panel]:
    """What was observed, done and earned: heights in inches, and how to draw them."""
    if any(view is not None for view in recording.views):
        yield VIEWS_INCHES, partial(draw_views, views=recording.views)
    for signal in observed:
        yield signal_height(signal), partial(draw_signal, signal=signal, colour=style.INK)
    if done is not None:
        yield signal_height(done), partial(draw_signal, signal=done, colour=style.COLOURS[1])
    yield REWARD_INCHES, partial(draw_reward, rewards=recording.rewards)


def _memory_panels(recording: Recording) -> Iterator[Panel]:
    for name, values in recording.memory.items():
        yield panel_height(values), partial(draw_panel, name=name, values=values)


def colour_range(values: NDArray[np.float64]) -> tuple[str, float, float]:
    """Colour map and limits: white is always zero, and constant through the episode."""
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    largest = largest or 1.0
    signed = bool((finite < 0).any())
    return ("RdBu_r", -largest, largest) if signed else ("Blues", 0.0, largest)


def plain_name(name: str) -> str:
    """``read_weights`` as a person writes it, with its unit where it has one."""
    unit = " (nats)" if name.endswith("entropy") else ""
    return name.replace("_", " ").replace(".", " · ") + unit


def counted(name: str) -> str:
    """What the entries of a diagnostic are."""
    if name == "action_values":
        return "action"
    if name.endswith("_gates"):
        return "head"
    return "slot" if "weights" in name or "usage" in name else "unit"


def named_heads(heads: int) -> range:
    """The heads that are named beside a panel: all, or of many some; none where there is one."""
    return range(0, heads if heads > 1 else 0, math.ceil(heads / _MOST_NAMES))


def panel_height(values: NDArray[np.float64]) -> float:
    """Inches for a panel: a line needs less than a map."""
    return 0.9 if _width(values) == 1 else 1.9


def draw_panel(
    axes: Axes, name: str, values: NDArray[np.float64], *, rows_are: str | None = None
) -> None:
    """Draw values [T], [T, N] or [T, R, N] over time; ``rows_are`` says what N counts.

    Of many units only those are drawn that vary most.
    """
    axes.set_title(plain_name(name), loc="left")
    if _width(values) == 1:
        axes.plot(values.reshape(len(values)), color=style.COLOURS[0], lw=1.8)
        style.tidy(axes)
        return
    entries = rows_are or counted(name)
    too_many = entries == "unit" and values.ndim == 2 and values.shape[1] > _MOST_UNITS
    if too_many:
        of = f"the {_MOST_UNITS} of {values.shape[1]} units that vary most"
        axes.set_title(f"{plain_name(name)} ({of})", loc="left")
        values = _liveliest(values)
    rows = values.reshape(len(values), -1).T  # [slots, T], the heads below each other
    colours, low, high = colour_range(rows)
    image = axes.imshow(
        rows, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    style.tidy(axes)
    axes.grid(visible=False)
    heads = values.shape[1] if values.ndim == 3 else 1
    if heads > 1:
        _mark_heads(axes, heads, values.shape[2])
    else:
        axes.set_ylabel(entries)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if too_many:
        axes.set_yticks([])  # the rows are not in the order of their numbers
    style.colour_bar(axes, image)


def _liveliest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The units of [T, N] that vary most, alike ones beside each other.

    The number of a slot tells where something was written; that of a unit tells nothing.
    """
    most = np.argsort(-values.std(axis=0), kind="stable")[:_MOST_UNITS]
    some = values[:, most]
    component = np.linalg.svd(some - some.mean(axis=0), full_matrices=False)[2][0]
    return some[:, np.argsort(-component, kind="stable")]


def _mark_heads(axes: Axes, heads: int, slots: int) -> None:
    named = named_heads(heads)
    for head in named[1:]:
        axes.axhline(head * slots - 0.5, color=style.GREY, lw=0.8)
    axes.set_yticks(
        [(head + 0.5) * slots - 0.5 for head in named], [f"head {head + 1}" for head in named]
    )
    axes.set_ylabel(f"{slots} slots each")


def _headline(picture: Figure, recording: Recording, title: str) -> None:
    facts = f"one episode, {recording.length} steps, {ending(recording)}"
    if recording.cue_step is not None:
        facts += f"  ·  dashed: cue first seen, step {recording.cue_step}"
    lines = [title, facts] if title else [facts]
    headline = picture.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=style.FONT)
    headline.set_color(style.INK)


def _width(values: NDArray[np.float64]) -> int:
    return int(np.prod(values.shape[1:]))
