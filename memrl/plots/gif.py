"""Pictures of equal size as an animated GIF with one palette."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COLOURS: Final = 255  # a GIF has 256; the last one means "as in the frame before"
_UNCHANGED: Final = 255


@final
class Palette:
    """At most 255 colours; every pixel gets the nearest of them.

    Args:
        samples: pictures [H, W, RGBA] whose colours are those of all, alpha aside.
    """

    def __init__(self, samples: Sequence[NDArray[np.uint8]]) -> None:
        pixels = np.concatenate([sample[..., :3] for sample in samples])
        colours = Image.fromarray(np.ascontiguousarray(pixels)).quantize(_COLOURS).getpalette()
        assert colours is not None
        self.colours = np.array(colours, dtype=np.uint8).reshape(-1, 3)[:_COLOURS]
        # The nearest colour of each of 2 ** 24, plus one; 0 where it is not known yet. The system
        # gives memory only to the pages that are touched: few colours occur.
        self._nearest = np.zeros(1 << 24, dtype=np.uint16)

    def indices(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """The indices of colours that are given as 0xBBGGRR, of any shape."""
        found = self._nearest[codes]
        if not found.all():
            new = np.unique(codes[found == 0])
            rgb = np.stack([new & 255, new >> 8 & 255, new >> 16], axis=1).astype(np.int32)
            for part in np.array_split(np.arange(len(new)), 1 + len(new) // 4096):
                apart = rgb[part, None] - self.colours.astype(np.int32)
                self._nearest[new[part]] = (apart**2).sum(axis=-1).argmin(axis=1) + 1
            found = self._nearest[codes]
        return (found - 1).astype(np.uint8)


def encode_gif(
    pictures: Iterable[NDArray[np.uint8]], palette: Palette, durations: Sequence[int]
) -> bytes:
    """A GIF that loops for ever.

    Args:
        pictures: each [H, W, RGBA]; a picture may be overwritten once the next one is asked for.
        palette: of all of them.
        durations: of each picture, in ms.
    """
    frames: list[Image.Image] = []
    before: NDArray[np.uint32] | None = None
    for picture in pictures:
        codes = _codes(picture)
        if before is None:
            indices = palette.indices(codes)
        else:
            indices = np.full(codes.shape, _UNCHANGED, dtype=np.uint8)
            changed = codes != before
            indices[changed] = palette.indices(codes[changed])
        before = codes
        frame = Image.fromarray(indices)
        frame.putpalette(palette.colours.tobytes())
        frames.append(frame)
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[*durations],
        loop=0,
        transparency=_UNCHANGED,
        disposal=1,  # a frame is painted over the one before
        optimize=False,  # it would give each frame a palette of its own
    )
    return buffer.getvalue()


def _codes(picture: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Each pixel as 0xBBGGRR."""
    pixels: NDArray[np.uint32] = np.ascontiguousarray(picture).view("<u4")[..., 0]
    return pixels & np.uint32(0xFFFFFF)
