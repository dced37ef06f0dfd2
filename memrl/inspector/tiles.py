"""Pictures as numbers of tiles: each distinct tile of all pictures is kept once."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from memrl.evaluation.recording import Picture

_WIDEST: Final = 256  # pixels; larger pictures are averaged down
_SIDES: Final = range(32, 7, -1)  # pixels of a tile, the largest that divides a picture first
_SPARE_SIDE: Final = 16  # of pictures that none of them divides
_MOST_BYTES: Final = 24_000_000  # of distinct tiles, before compression
NO_TILE: Final = 65_535  # the number of a tile for which there was no room


class TileSheet(NamedTuple):
    """The distinct tiles of a run's pictures of one size."""

    side: int  # pixels
    tiles: NDArray[np.uint8]  # [n, side, side, 3]


@final
class Tiler:
    """Cuts pictures of one kind into tiles, such as the frames of one environment."""

    def __init__(self) -> None:
        self._side = 0
        self._numbers: dict[bytes, int] = {}

    def cut(self, picture: Picture) -> NDArray[np.uint16]:
        """The numbers of a picture's tiles, [rows, columns]."""
        small = _shrunk(picture)
        self._side = self._side or _side_of(small)
        side = self._side
        height, width = (math.ceil(length / side) for length in small.shape[:2])
        missing = ((0, height * side - small.shape[0]), (0, width * side - small.shape[1]), (0, 0))
        padded = np.pad(small, missing) if any(map(any, missing)) else small
        tiles = padded.reshape(height, side, width, side, 3).swapaxes(1, 2)
        numbers = [self._number(tile.tobytes()) for row in tiles for tile in row]
        return np.array(numbers, np.uint16).reshape(height, width)

    def sheet(self) -> TileSheet:
        """The tiles that were met so far, by their numbers."""
        tiles = np.frombuffer(b"".join(self._numbers), np.uint8)
        return TileSheet(self._side, tiles.reshape(-1, self._side, self._side, 3))

    def _number(self, tile: bytes) -> int:
        known = self._numbers.get(tile)
        if known is not None:
            return known
        new = len(self._numbers)
        if new >= NO_TILE or (new + 1) * len(tile) > _MOST_BYTES:
            return NO_TILE
        self._numbers[tile] = new
        return new


def _shrunk(picture: Picture) -> Picture:
    factor = math.ceil(max(picture.shape[:2]) / _WIDEST)
    if factor == 1:
        return picture
    height, width = (length // factor for length in picture.shape[:2])
    blocks = picture[: height * factor, : width * factor]
    blocks = blocks.reshape(height, factor, width, factor, 3)
    small: Picture = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return small


def _side_of(picture: Picture) -> int:
    common = math.gcd(*picture.shape[:2])
    return next((side for side in _SIDES if common % side == 0), _SPARE_SIDE)
