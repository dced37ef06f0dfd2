"""A picture of ColorCubes as it is: every cube, the agent, and the target, whatever is shown."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TILE: Final = 24  # pixels along a cell; with the line between cells
_LINE: Final = 200  # grey between cells
_MARGIN: Final = 4  # pixels from the line of a cell to its cube
_AGENT: Final = 6  # radius in pixels


def draw_cubes(size: int, cubes: Sequence[int], agent: int, target: int) -> NDArray[np.uint8]:
    """The grid in a frame of the target's colour: uint8 [H, W, 3].

    Args:
        size: cells along a side.
        cubes: the cell of each cube, row by row from the top left.
        agent: its cell; a black disc, over a cube that it stands on.
        target: the cube that is asked for.
    """
    picture = np.full((size * _TILE + 1, size * _TILE + 1, 3), 255, np.uint8)
    picture[::_TILE] = picture[:, ::_TILE] = _LINE
    for cube, cell in enumerate(cubes):
        top, left = (_TILE * part + _MARGIN + 1 for part in divmod(cell, size))
        side = _TILE - 2 * _MARGIN - 1
        picture[top : top + side, left : left + side] = cube_colour(cube, len(cubes))
    row, column = (_TILE * part + _TILE // 2 for part in divmod(agent, size))
    y, x = np.ogrid[: len(picture), : len(picture)]
    picture[(y - row) ** 2 + (x - column) ** 2 <= _AGENT**2] = 0
    framed = np.empty((len(picture) + 2 * _MARGIN, len(picture) + 2 * _MARGIN, 3), np.uint8)
    framed[:] = cube_colour(target, len(cubes))
    framed[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = picture
    return framed


def cube_colour(cube: int, count: int) -> tuple[int, int, int]:
    """Hues evenly around the circle."""
    red, green, blue = colorsys.hsv_to_rgb(cube / count, 0.8, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)
