"""Pictures as numbers of tiles give the same pictures back."""

from __future__ import annotations

import numpy as np
import pytest

from memrl.inspector import tiles
from memrl.inspector.tiles import NO_TILE, Tiler


def pictures(height, width, count=3):
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def put_together(numbers, sheet):
    side = sheet.side
    picture = np.zeros((numbers.shape[0] * side, numbers.shape[1] * side, 3), np.uint8)
    for row, column in np.ndindex(numbers.shape):
        here = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
        picture[here] = sheet.tiles[numbers[row, column]]
    return picture


@pytest.mark.parametrize(("height", "width", "side"), [(64, 96, 32), (52, 39, 13), (35, 22, 11)])
def test_tiles_give_the_picture_back(height, width, side):
    tiler = Tiler()
    given = pictures(height, width)
    cut = [tiler.cut(picture) for picture in given]
    sheet = tiler.sheet()
    assert sheet.side == (side if height % side == 0 else 16)
    for picture, numbers in zip(given, cut, strict=True):
        assert (put_together(numbers, sheet)[:height, :width] == picture).all()


def test_equal_tiles_are_kept_once():
    tiler = Tiler()
    picture = np.tile(pictures(16, 16, 1)[0], (3, 5, 1))
    picture[:16, :16] = 0
    numbers = tiler.cut(picture)
    assert len(tiler.sheet().tiles) == 2
    assert (numbers == 1).sum() == 14


def test_large_pictures_are_averaged_down():
    tiler = Tiler()
    picture = np.repeat(np.repeat(pictures(200, 150, 1)[0], 2, axis=0), 2, axis=1)
    numbers = tiler.cut(picture)
    assert (put_together(numbers, tiler.sheet()) == picture[::2, ::2]).all()


def test_tiles_without_room_are_left_out(monkeypatch):
    monkeypatch.setattr(tiles, "_MOST_BYTES", 5 * 8 * 8 * 3)
    tiler = Tiler()
    numbers = tiler.cut(pictures(16, 24, 1)[0])
    assert sorted(numbers.ravel()) == [0, 1, 2, 3, 4, NO_TILE]
