"""episode.gif: an episode as the agent lived it, its memory at every step beside it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from memrl.checkpoint.atomic import write_atomically
from memrl.errors import RunError
from memrl.evaluation.recording import Recording, ending
from memrl.plots import style
from memrl.plots.gif import Palette, encode_gif
from memrl.plots.panels import Moving, memory_panel, picture_panel, text_panel, vector_panel
from memrl.plots.signals import Signal
from memrl.plots.stage import Stage
from memrl.plots.words import Words

Observed: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, str]]
Done: TypeAlias = Callable[[NDArray[Any]], str]

_MAX_FRAMES: Final = 200
_DPI: Final = 80
_PICTURE_INCHES: Final = 3.3
_LINE_INCHES: Final = 0.22  # of words
_WIDTH_INCHES: Final = 9.0
_MARGIN_INCHES: Final = 0.2
_HEADLINE_INCHES: Final = 0.2  # a line
_BARS_INCHES: Final = 2.6
_COLUMNS: Final = 35  # of words
_MAX_LINES: Final = 20
_FRAME_MS: Final = 160
_SILENT_SECONDS: Final = 2.0  # before there is a progress bar
_LAST_MS: Final = 1500  # time to see how it ended


def draw_episode(
    recording: Recording,
    path: Path,
    *,
    title: str = "",
    mission: str = "",
    observed: Observed | None = None,
    vectors: Sequence[Signal] = (),
    done: Done = str,
) -> int:
    """Write a recorded episode as an animated GIF and return the number of its frames.

    On the left the world and, where it can be drawn, the agent's view of it, or else what it
    observes: words and, of vectors, bars; on the right every diagnostic of its memory after it has
    read that observation; above, what it then does and what that earns. Scales stay the same from
    frame to frame. A long episode is thinned to 200 frames, and the picture says so. The last frame
    shows what the agent sees after the last action; of the world there is no such picture, since
    environments begin the next episode in the same step.

    Args:
        recording: the episode.
        path: of the GIF.
        title: the beginning of its headline.
        mission: what the agent was told to do; the last line of the headline.
        observed: puts the observation of one environment into words, by entry.
        vectors: what was observed that is shown as bars instead, [T + 1, N].
        done: puts an action into words.

    Raises:
        RunError: there is neither a frame nor words nor a diagnostic to show, or the disk is full.
    """
    seen = [frame is not None for frame in (*recording.frames, *recording.views)]
    if not (recording.memory or any(seen) or observed or vectors):
        raise RunError("neither the environment nor the memory can be drawn: no episode.gif")
    texts: list[str] = []
    if any(seen):
        vectors = ()
    elif observed is not None:
        observations = [*recording.observations, recording.last_observation]
        texts = [_paragraphs(observed(obs)) for obs in observations]
        texts = texts if any(texts) else []
    stride = math.ceil(recording.length / _MAX_FRAMES)
    steps = [*range(0, recording.length - 1, stride), recording.length - 1]
    shows_last = bool(recording.last_view is not None or texts or vectors)
    steps += [recording.length] * shows_last
    lines = _Headline(recording, title, mission, stride, done, shows_last)
    scene = _Scene(recording, lines, texts, vectors)
    samples = [scene.draw(t).copy() for t in {steps[0], steps[len(steps) // 2], steps[-1]}]
    durations = [_FRAME_MS] * (len(steps) - 1) + [_LAST_MS]
    frames = (scene.draw(t) for t in _with_bar(steps))
    write_atomically(path, encode_gif(frames, Palette(samples), durations))
    return len(steps)


def _with_bar(steps: Sequence[int]) -> Iterator[int]:
    """The steps one by one, with a progress bar on a terminal if they take long."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("drawing the episode", total=len(steps), visible=False)
        for step in steps:
            yield step
            passed = bar.tasks[task].elapsed or 0.0
            bar.update(task, advance=1, visible=passed > _SILENT_SECONDS)


class _Scene:
    """The figure of an episode, at any of its steps."""

    def __init__(
        self,
        recording: Recording,
        lines: _Headline,
        texts: list[str],
        vectors: Sequence[Signal],
    ) -> None:
        self._lines = lines
        left = [*_left_panels(recording, texts, vectors)]
        memory = recording.memory
        heights = [height for height, _ in left]
        height = max(sum(heights), 1.2 * len(memory))
        height = max(4.2, height) if memory or not texts else height
        above = _MARGIN_INCHES + _HEADLINE_INCHES * (1 + lines(0).count("\n"))
        figure = style.new_figure(_WIDTH_INCHES, height + above)
        figure.set_dpi(_DPI)
        _below(figure, above)
        self._headline = Words(
            0.01,
            1.0 - _MARGIN_INCHES / 2 / (height + above),
            figure.transFigure,
            colour=style.INK,
            size=style.FONT,
        )
        figure.add_artist(self._headline)
        sides = _sides(figure, both=bool(left) and bool(memory))
        self._panels: list[Moving] = []
        if left:
            column = sides[0].subplots(
                len(left), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
            )[:, 0]
            self._panels += [draw(axes) for axes, (_, draw) in zip(column, left, strict=True)]
        if memory:
            right = sides[-1].subplots(len(memory), 1, squeeze=False)[:, 0]
            for axes, (name, values) in zip(right, memory.items(), strict=True):
                self._panels.append(memory_panel(axes, name, values))
        self._show(0)
        moving = [artist for panel in self._panels for artist in panel.artists]
        self._stage = Stage(figure, [*moving, self._headline])

    def draw(self, t: int) -> NDArray[np.uint8]:
        """Step ``t``, [H, W, RGBA]; valid until the next one."""
        self._show(t)
        return self._stage.picture()

    def _show(self, t: int) -> None:
        for panel in self._panels:
            panel.show(t)
        self._headline.text = self._lines(t)


def _below(figure: Figure, inches: float) -> None:
    """Leave room for a headline."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - inches / figure.get_figheight()))


def _sides(figure: Figure, *, both: bool) -> list[Any]:
    if not both:
        return [figure]
    sides = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.0, 1.25])
    return [sides[0, 0], sides[0, 1]]


def _left_panels(
    recording: Recording, texts: list[str], vectors: Sequence[Signal]
) -> Iterator[tuple[float, Callable[[Axes], Moving]]]:
    """What is shown beside the memory: heights in inches, and how to draw it."""
    pictures = {
        "world": [*recording.frames, None],
        "what the agent sees": [*recording.views, recording.last_view],
    }
    for name, frames in pictures.items():
        if any(frame is not None for frame in frames):
            yield _PICTURE_INCHES, partial(picture_panel, name=name, frames=frames)
    if texts:
        inches = _LINE_INCHES * (3 + max(text.count("\n") for text in texts))
        yield inches, partial(text_panel, name="what the agent sees", texts=texts)
    for signal in vectors:
        yield _BARS_INCHES, partial(vector_panel, signal=signal)


class _Headline(NamedTuple):
    """What stands above a frame."""

    recording: Recording
    title: str
    mission: str
    stride: int
    done: Done
    shows_last: bool  # a frame follows after the last action

    def __call__(self, t: int) -> str:
        """The lines before action ``t``; ``t`` = T is after the last one."""
        lines = [self._where(t), self._what(t), f"mission: {self.mission}" if self.mission else ""]
        return "\n".join(line for line in lines if line)

    def _where(self, t: int) -> str:
        recording = self.recording
        parts = [self.title] if self.title else []
        over = t == recording.length
        parts.append(f"{'after ' * over}step {t + 1 - over} of {recording.length}")
        if self.stride > 1:
            parts.append(f"1 of {self.stride} steps shown")
        if recording.cue_step is not None:
            since = t - recording.cue_step
            parts.append("cue not seen yet" if since < 0 else f"cue first seen {since} steps ago")
        return "  ·  ".join(parts)

    def _what(self, t: int) -> str:
        """What the action was and what it earned; at the end also how it ended."""
        recording, parts = self.recording, []
        over = t == recording.length
        if not over:
            deed = f"action: {self.done(np.asarray(recording.actions[t]))}"
            parts.append(f"{deed}  ·  reward: {recording.rewards[t]:.3g}")
        if over or (t == recording.length - 1 and not self.shows_last):
            parts.append(ending(recording))
        return "  ·  ".join(parts)


def _paragraphs(entries: Mapping[str, str]) -> str:
    """One entry after the other, broken into lines; what is too long ends with dots."""
    lines: list[str] = []
    for key, said in entries.items():
        lines += textwrap.wrap(f"{key}: {said}", _COLUMNS, subsequent_indent="  ")
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES - 1 :] = ["…"]
    return "\n".join(lines)
