"""The tiles of images of grids, drawn once by the ``minigrid`` package.

A tile depends on the object in the cell, on the agent in it (if any) and on whether the cell is
visible. ``pictures`` composes images from tile numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memrl.envs.minigrid.cells import (
    BALL,
    BOX,
    CLOSED,
    DOOR,
    EMPTY,
    FLOOR,
    GOAL,
    GREEN,
    GREY,
    KEY,
    LAVA,
    LOCKED,
    NUM_CODES,
    OPEN,
    RED,
    WALL,
    cell_tables,
    pack,
    unpack,
)

NORTH = 3  # the agent's direction in its own view
POSES = 5  # no agent in the cell, or one that faces east, south, west, north
MIN_TILE_SIZE = 2  # pixels

COLOURS = range(RED, GREY + 1)
EVERY_CODE = (
    EMPTY,
    pack(GOAL, GREEN),
    pack(LAVA, RED),
    *(pack(kind, colour) for kind in (WALL, FLOOR, KEY, BALL, BOX) for colour in COLOURS),
    *(pack(DOOR, colour, state) for colour in COLOURS for state in (OPEN, CLOSED, LOCKED)),
)


class TileSet(NamedTuple):
    """N different tiles of P × P pixels, and a table from cells to tiles."""

    tiles: Tensor  # uint8 [N, P, P, 3], indexed [row, column] of pixels
    number: Tensor  # int32 [NUM_CODES · POSES · 2]; see `tile_key`

    def to(self, device: torch.device | str) -> TileSet:
        """The same tiles on a device."""
        return TileSet(self.tiles.to(device), self.number.to(device))


def tile_key(code: Tensor, pose: Tensor, lit: Tensor) -> Tensor:
    """The index of a cell in ``TileSet.number``; ``pose`` is 0 or the direction plus 1."""
    return (code.int() * POSES + pose) * 2 + lit


@cache
def draw_tiles(tile_size: int, codes: tuple[int, ...] = EVERY_CODE) -> TileSet:
    """Draw the tiles of ``tile_size`` × ``tile_size`` pixels for cells with the given codes.

    All codes at 8 pixels take about a second; the time grows with the number of pixels. The result
    is cached, so treat its tensors as read-only. Cells that cannot occur (an agent in a wall, any
    other code) get the tile of the empty cell with the same agent and visibility.

    Raises:
        ValueError: ``tile_size`` is below 2.
    """
    if tile_size < MIN_TILE_SIZE:
        raise ValueError(f"tile_size is {tile_size}, allowed: at least {MIN_TILE_SIZE} pixels")
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    found: dict[bytes, int] = {}
    tiles: list[np.ndarray] = []
    number = torch.full((NUM_CODES, POSES, 2), -1, dtype=torch.int32)
    for code, pose, lit in _drawn(codes):
        thing = WorldObj.decode(*unpack(torch.tensor(code)).tolist())
        drawn = Grid.render_tile(thing, None if pose == 0 else pose - 1, lit, tile_size)
        tile = drawn.astype(np.uint8)  # truncates means of pixels, as the package does
        key = tile.tobytes()
        if key not in found:
            found[key] = len(tiles)
            tiles.append(tile)
        number[code, pose, int(lit)] = found[key]
    number = torch.where(number < 0, number[EMPTY], number)
    return TileSet(torch.from_numpy(np.stack(tiles)), number.flatten())


def _drawn(codes: tuple[int, ...]) -> Iterator[tuple[int, int, bool]]:
    """The (code, pose, lit) that can occur: an agent sees its own cell, and enters only some."""
    table = cell_tables()
    for code in dict.fromkeys((EMPTY, *codes)):
        yield code, 0, False
        yield code, 0, True
        if table.enterable[code]:
            yield from ((code, 1 + direction, True) for direction in range(POSES - 1))
        if table.portable[code]:  # carried by the agent, in its own view
            yield code, 1 + NORTH, True
