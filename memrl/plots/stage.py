"""A figure of which a few artists change: the rest is laid out and drawn once, kept as pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.spines import Spine
from matplotlib.text import Text
from numpy.typing import NDArray


@final
class Stage:
    """Draws a figure again and again, at the cost of what changes in it.

    The layout is made for the artists as they are when the stage is built, and stays. What hides
    parts of a changing artist, such as the lines around its panel, is drawn over it every time.
    Ticks and texts that do not change are taken to stand beside the changing artists of a panel.

    Args:
        figure: on an Agg canvas; it belongs to the stage from now on.
        changing: the artists that may change between two pictures; images without interpolation.
    """

    def __init__(self, figure: Figure, changing: Iterable[Artist]) -> None:
        assert isinstance(figure.canvas, FigureCanvasAgg)
        self._canvas: Any = figure.canvas  # its methods have no types
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
        self._drawn_anew = [*_with_covers(list(changing))]
        for artist in self._drawn_anew:
            artist.set_animated(True)
        self._canvas.draw()  # type: ignore[no-untyped-call]
        self._background = self._canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
        self._sources: dict[tuple[AxesImage, tuple[int, int]], _Sources] = {}

    def picture(self) -> NDArray[np.uint8]:
        """The figure as it is now, [H, W, RGBA]; valid until the next picture."""
        renderer = self._canvas.get_renderer()
        images = [artist for artist in self._drawn_anew if isinstance(artist, AxesImage)]
        sources = {image: self._sources_of(image) for image in images}
        self._canvas.restore_region(self._background)
        pixels = np.asarray(self._canvas.buffer_rgba())
        for artist in self._drawn_anew:
            if isinstance(artist, AxesImage):
                sources[artist].paint(_colours(artist), pixels)
            else:
                artist.draw(renderer)
        return pixels

    def _sources_of(self, image: AxesImage) -> _Sources:
        """Found once for each size of an image, by drawing one whose pixels are numbered."""
        data = image.get_array()
        assert data is not None
        height, width = data.shape[:2]
        if (image, (height, width)) not in self._sources:
            renderer = self._canvas.get_renderer()
            renderer.clear()
            image.set_data(_numbered(height, width))
            image.draw(renderer)
            image.set_data(data)
            self._sources[image, (height, width)] = _read_sources(self._canvas.buffer_rgba())
        return self._sources[image, (height, width)]


class _Sources(NamedTuple):
    """Which pixel of an image each pixel in a box of the figure shows."""

    box: tuple[slice, slice]
    source: NDArray[np.intp]  # [H, W], into the image's pixels, row by row

    def paint(self, colours: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
        pixels[self.box] = colours.reshape(-1, 4)[self.source]


def _numbered(height: int, width: int) -> NDArray[np.uint8]:
    """Colours [H, W, 3] that are the numbers of their pixels, row by row."""
    numbers = np.arange(height * width).reshape(height, width)
    return np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=-1).astype(np.uint8)


def _read_sources(buffer: Any) -> _Sources:
    drawn = np.asarray(buffer).astype(np.intp)
    rows, columns = (np.flatnonzero(drawn[..., 3].any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    red, green, blue = np.moveaxis(drawn[box][..., :3], -1, 0)
    return _Sources(box, red << 16 | green << 8 | blue)


def _colours(image: AxesImage) -> NDArray[np.uint8]:
    """[H, W, RGBA]; white where there is nothing."""
    data = image.get_array()
    assert data is not None
    colours: NDArray[np.uint8] = image.to_rgba(data, bytes=True)
    colours[colours[..., 3] == 0] = 255
    return colours


def _with_covers(changing: Sequence[Artist]) -> Iterator[Artist]:
    """The changing artists and what lies above them in their panels, from back to front."""
    for panel in dict.fromkeys(artist.axes for artist in changing):
        moving = [artist for artist in changing if artist.axes is panel]
        if isinstance(panel, Axes):  # else they belong to the figure
            lowest = min(artist.get_zorder() for artist in moving)
            moving += [artist for artist in _lines_of(panel) if artist.get_zorder() > lowest]
        yield from sorted(dict.fromkeys(moving), key=lambda artist: artist.get_zorder())


def _lines_of(panel: Axes) -> Iterator[Artist]:
    for artist in panel.get_children():
        hidden = not artist.get_visible() or (isinstance(artist, Spine) and not panel.axison)
        if not hidden and artist is not panel.patch and not isinstance(artist, Axis | Text):
            yield artist
