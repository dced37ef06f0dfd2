"""Text that changes often: each of its words is drawn once and stamped from then on."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias, final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import Bbox, Transform
from numpy.typing import NDArray

Anchor: TypeAlias = Literal["top", "middle", "baseline"]

_SPACING: Final = 1.2  # heights of a line from one to the next
_WORD: Final = re.compile(r"\s*\S+")


class Stamp(NamedTuple):
    """A word as pixels."""

    pixels: NDArray[np.uint8]  # [H, W, RGBA], from the bottom up
    advance: int  # pixels to where the next word begins
    descent: int  # pixels below the line


@final
class Words(Artist):
    """Lines of text that matplotlib sets word by word.

    matplotlib spends some 0.2 ms on each letter of a text, however often it has drawn it.

    Args:
        transform: of ``x`` and ``y``.
        x: where the lines begin, or end with ``right``.
        y: the top of the lines, their middle, or the baseline of the first, as ``anchor`` says.
        colour: of the letters.
        size: of the letters, in points.
        family: of the font.
    """

    zorder = 3.0

    def __init__(
        self,
        x: float,
        y: float,
        transform: Transform,
        *,
        colour: str,
        size: float,
        anchor: Anchor = "top",
        right: bool = False,
        family: str = "sans-serif",
    ) -> None:
        super().__init__()
        self.text = ""
        self.set_transform(transform)
        self.set_clip_on(False)  # else a layout takes it for a part of the panel
        self._place, self._anchor, self._right = (x, y), anchor, right
        self._font, self._colour = (family, size), colour

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """The box of the lines, in pixels."""
        lines = self._lines()
        baselines = self._baselines(len(lines))
        width = max(sum(stamp.advance for stamp in line) for line in lines)
        left = self.get_transform().transform(self._place)[0] - self._right * width
        _, height, descent = _measure("lp", *self._font, self._dpi)
        return Bbox.from_extents(
            left, baselines[-1] - descent, left + width, baselines[0] + height - descent
        )

    def draw(self, renderer: Any) -> None:
        """Stamp every word, at whole pixels."""
        if not self.get_visible():
            return
        context = renderer.new_gc()
        lines = self._lines()
        for line, baseline in zip(lines, self._baselines(len(lines)), strict=True):
            x = round(self.get_transform().transform(self._place)[0])
            x -= self._right * sum(stamp.advance for stamp in line)
            for stamp in line:
                renderer.draw_image(context, x, baseline - stamp.descent, stamp.pixels)
                x += stamp.advance
        context.restore()
        self.stale = False

    @property
    def _dpi(self) -> float:
        figure = self.get_figure()
        assert figure is not None
        return float(figure.dpi)

    def _lines(self) -> list[list[Stamp]]:
        return [
            [_stamp(word, *self._font, self._colour, self._dpi) for word in _WORD.findall(line)]
            for line in self.text.split("\n")
        ]

    def _baselines(self, count: int) -> list[int]:
        _, height, descent = _measure("lp", *self._font, self._dpi)
        apart, y = height * _SPACING, self.get_transform().transform(self._place)[1]
        above = {
            "top": height - descent,
            "middle": (height - (count - 1) * apart) / 2 - descent,
            "baseline": 0.0,
        }[self._anchor]
        return [round(y - above - i * apart) for i in range(count)]


@lru_cache(maxsize=4096)
def _stamp(word: str, family: str, size: float, colour: str, dpi: float) -> Stamp:
    width, height, descent = _measure(word, family, size, dpi)
    below = math.ceil(descent) + 1
    renderer = _renderer(math.ceil(width) + 4, math.ceil(height) + below + 2, dpi)
    context = renderer.new_gc()
    context.set_foreground(to_rgb(colour))
    font = FontProperties(family=family, size=size)
    renderer.draw_text(context, 0, renderer.height - below, word, font, 0.0)
    pixels = np.asarray(renderer.buffer_rgba())[::-1].copy()
    return Stamp(pixels, round(width), below)


@lru_cache(maxsize=4096)
def _measure(word: str, family: str, size: float, dpi: float) -> tuple[float, float, float]:
    """Width, height and descent in pixels."""
    font = FontProperties(family=family, size=size)
    width, height, descent = _renderer(1, 1, dpi).get_text_width_height_descent(word, font, False)
    return width, height, descent


def _renderer(width: int, height: int, dpi: float) -> Any:
    """Its methods have no types."""
    return RendererAgg(width, height, dpi)  # type: ignore[no-untyped-call]
