"""episode.gif: an episode as the agent lived it, its memory at every step beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from memrl.errors import RunError
from memrl.run import figure as look
from memrl.run.recording import Picture, Recording
from memrl.run.slots import colour_range, plain_name
from memrl.saved.atomic import write_atomically

_MAX_FRAMES: Final = 200
_MAX_BARS: Final = 64  # a row with more slots than this is a strip of colour
_DPI: Final = 80
_PICTURE_INCHES: Final = 3.3
_FRAME_MS: Final = 160
_LAST_MS: Final = 1500  # time to see how it ended


def draw_episode(recording: Recording, path: Path, *, title: str = "", mission: str = "") -> int:
    """Write a recorded episode as an animated GIF and return the number of its frames.

    On the left the world and, where it can be drawn, the agent's view of it; on the right every
    diagnostic of its memory after it has read that observation. Scales stay the same from frame to
    frame. A long episode is thinned to 200 frames, and the picture says so. The last frame shows
    the view that the last action led to; of the world there is no such picture, since environments
    begin the next episode in the same step.

    Args:
        recording: the episode.
        path: of the GIF.
        title: the beginning of its headline.
        mission: what the agent was told to do; the second line.

    Raises:
        RunError: there is neither a frame nor a diagnostic to show, or the disk is full.
    """
    if not recording.memory and not any(f is not None for f in recording.frames):
        raise RunError("neither the environment nor the memory can be drawn: no episode.gif")
    stride = math.ceil(recording.length / _MAX_FRAMES)
    steps = [*range(0, recording.length - 1, stride), recording.length - 1]
    steps += [recording.length] * (recording.last_view is not None)
    scene = _Scene(recording, title, mission, stride)
    images = [scene.draw(t) for t in steps]
    palette = images[-1].quantize(colors=256)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [_FRAME_MS] * (len(frames) - 1) + [_LAST_MS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    write_atomically(path, buffer.getvalue())
    return len(frames)


class _Scene:
    """A figure that is made once and updated for every step."""

    def __init__(self, recording: Recording, title: str, mission: str, stride: int) -> None:
        self._recording, self._stride, self._mission = recording, stride, mission
        pictures = {
            "world": [*recording.frames, None],
            "what the agent sees": [*recording.views, recording.last_view],
        }
        self._pictures = {
            name: frames for name, frames in pictures.items() if any(f is not None for f in frames)
        }
        memory = recording.memory
        height = max(4.2, _PICTURE_INCHES * len(self._pictures), 1.1 * len(memory))
        self.figure = look.new_figure(9.0, height + (0.9 if mission else 0.6))
        self.figure.set_dpi(_DPI)
        headline = self.figure.suptitle(title, x=0.01, ha="left", fontsize=look.FONT)
        headline.set_color(look.INK)
        self._headline, self._title = headline, title
        sides = self._sides()
        self._update: list[Callable[[int], None]] = []
        if self._pictures:
            left = sides[0].subplots(len(self._pictures), 1, squeeze=False)[:, 0]
            for axes, (name, frames) in zip(left, self._pictures.items(), strict=True):
                self._update.append(_picture(axes, name, frames))
        if memory:
            right = sides[-1].subplots(len(memory), 1, squeeze=False)[:, 0]
            for axes, (name, values) in zip(right, memory.items(), strict=True):
                self._update.append(_panel(axes, name, values))

    def draw(self, t: int) -> Image.Image:
        for update in self._update:
            update(t)
        self._headline.set_text(self._line(t))
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return Image.fromarray(pixels[..., :3].copy())

    def _sides(self) -> list[Any]:
        both = bool(self._pictures) and bool(self._recording.memory)
        if not both:
            return [self.figure]
        sides = self.figure.subfigures(1, 2, squeeze=False, width_ratios=[1.0, 1.25])
        return [sides[0, 0], sides[0, 1]]

    def _line(self, t: int) -> str:
        """The headline before action ``t``; ``t`` = T is after the last one."""
        recording = self._recording
        parts = [self._title] if self._title else []
        done = t == recording.length
        parts.append(f"{'after ' * done}step {t + 1 - done} of {recording.length}")
        if self._stride > 1:
            parts.append(f"1 of {self._stride} steps shown")
        if recording.cue_step is not None:
            since = t - recording.cue_step
            parts.append("cue not seen yet" if since < 0 else f"cue first seen {since} steps ago")
        if done or (t == recording.length - 1 and recording.last_view is None):
            ending = {
                True: "solved",
                False: "failed",
                None: f"return {recording.rewards.sum():.3g}",
            }
            parts.append(ending[recording.success])
        line = "  ·  ".join(parts)
        return f"{line}\nmission: {self._mission}" if self._mission else line


def _picture(axes: Axes, name: str, frames: list[Picture | None]) -> Callable[[int], None]:
    first = next(frame for frame in frames if frame is not None)
    image = axes.imshow(first, interpolation="nearest")
    title = axes.set_title(name, loc="left", fontsize=look.FONT - 1, color=look.INK)
    axes.set_axis_off()

    def update(t: int) -> None:
        frame = frames[t]
        title.set_text(name if frame is not None else f"{name}, before the last step")
        if frame is not None:
            image.set_data(frame)

    return update


def _panel(axes: Axes, name: str, values: NDArray[np.float64]) -> Callable[[int], None]:
    """Bars for one row of slots, a strip of colour for several heads or many slots."""
    rows = values.reshape(len(values), -1, values.shape[-1])  # [T, R, N]
    rows = np.concatenate([rows, rows[-1:]])  # nothing is read after the last action
    colours, low, high = colour_range(values)
    look.tidy(axes)
    axes.set_title(plain_name(name), loc="left", fontsize=look.FONT - 1)
    if rows.shape[1] == 1 and rows.shape[2] <= _MAX_BARS:
        bars = axes.bar(range(rows.shape[2]), rows[0, 0], color=look.COLOURS[0], width=0.85)
        axes.set_ylim(low, high)
        axes.set_xlim(-0.6, rows.shape[2] - 0.4)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))

        def update(t: int) -> None:
            for bar, height in zip(bars, rows[t, 0], strict=True):
                bar.set_height(height)

        return update

    image = axes.imshow(
        rows[0], aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    axes.grid(visible=False)
    look.colour_bar(axes, image)
    heads = rows.shape[1]
    axes.set_yticks(range(heads), [f"head {r + 1}" if heads > 1 else "" for r in range(heads)])
    return lambda t: image.set_data(rows[t])
