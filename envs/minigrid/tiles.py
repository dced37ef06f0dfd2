"""Every tile that a picture can need, drawn once by the ``minigrid`` package itself.

A tile depends on what lies in the cell, on the agent in it (or none) and on whether the cell is
lit. Pictures are made of tiles by number (``pictures``).
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
    pack,
    rules,
    unpack,
)

NORTH = 3  # the agent's direction in its own view
POSES = 5  # no agent in the cell, or one that looks east, south, west, north
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
    """N different tiles of side P, and which of them a cell shows."""

    tiles: Tensor  # uint8 [N, P, P, 3], indexed [row, column] of pixels
    number: Tensor  # int32 [NUM_CODES · POSES · 2]; see `tile_key`

    def to(self, device: torch.device | str) -> TileSet:
        """The same tile_set on a device."""
        return TileSet(self.tiles.to(device), self.number.to(device))


def tile_key(code: Tensor, pose: Tensor, lit: Tensor) -> Tensor:
    """Where ``TileSet.number`` holds a cell's tile; ``pose`` is 0 or the direction plus 1."""
    return (code.int() * POSES + pose) * 2 + lit


@cache
def draw_tiles(tile_size: int, codes: tuple[int, ...] = EVERY_CODE) -> TileSet:
    """Draw the tiles of side ``tile_size`` (pixels) that cells of the given codes can show.

    All codes at 8 pixels take about a second; the time grows with the number of pixels. The tile_set
    is remembered, so treat its tensors as read-only. What no grid shows (an agent in a wall, a code
    that was not given) is drawn as the empty cell with the same agent and light.

    Raises:
        ValueError: ``tile_size`` is below 2.
    """
    if tile_size < MIN_TILE_SIZE:
        raise ValueError(f"tile_size is {tile_size}; it is at least {MIN_TILE_SIZE} pixels")
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    found: dict[bytes, int] = {}
    tiles: list[np.ndarray] = []
    number = torch.full((NUM_CODES, POSES, 2), -1, dtype=torch.int32)
    for code, pose, lit in _drawn(codes):
        thing = WorldObj.decode(*unpack(torch.tensor(code)).tolist())
        drawn = Grid.render_tile(thing, None if pose == 0 else pose - 1, lit, tile_size)
        tile = drawn.astype(np.uint8)  # from means of pixels, cut off as the package does
        key = tile.tobytes()
        if key not in found:
            found[key] = len(tiles)
            tiles.append(tile)
        number[code, pose, int(lit)] = found[key]
    number = torch.where(number < 0, number[EMPTY], number)
    return TileSet(torch.from_numpy(np.stack(tiles)), number.flatten())


def _drawn(codes: tuple[int, ...]) -> Iterator[tuple[int, int, bool]]:
    """The (code, pose, lit) that occur: an agent lights its cell, and enters only some."""
    table = rules()
    for code in dict.fromkeys((EMPTY, *codes)):
        yield code, 0, False
        yield code, 0, True
        if table.enterable[code]:
            yield from ((code, 1 + direction, True) for direction in range(POSES - 1))
        if table.portable[code]:  # carried, in the agent's own view
            yield code, 1 + NORTH, True
