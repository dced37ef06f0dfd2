"""The content of a grid cell as one code, and the rules of the game as tables over codes.

A code packs the package's triple (type, colour, state) into seven bits. Every rule about the kind
of a cell ("can the agent enter it?") is then one look-up in a table of 128 entries, and a grid is
a row of bytes. Only doors have states; closed and locked doors have types of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from numpy.typing import NDArray
from torch import Tensor

UNSEEN, NOTHING, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = range(11)
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
OPEN, CLOSED, LOCKED = range(3)

NUM_CODES = 128  # 4 bits for the type, 3 for the colour


def pack(kind: int, colour: int = 0, state: int = 0) -> int:
    """The code of one (type, colour, state)."""
    return (AGENT + state if state else kind) | colour << 4  # 11: a closed door, 12: a locked one


def pack_all(triple: UInt8[np.ndarray, "*shape 3"]) -> UInt8[np.ndarray, "*shape"]:
    """The codes of the package's triples."""
    kind, colour, state = np.moveaxis(triple, -1, 0)
    codes: NDArray[np.uint8] = np.where(state > 0, AGENT + state, kind) | colour << 4
    return codes


EMPTY = pack(NOTHING)  # an empty cell, empty hands and an empty box alike
OUTSIDE = pack(WALL, GREY)  # cells outside the grid look like grey walls


def unpack(code: Integer[Tensor, "*shape"]) -> UInt8[Tensor, "*shape 3"]:
    """The package's triples of codes."""
    kind, colour = code.int() & 15, code.int() >> 4
    door = torch.where(kind > AGENT, DOOR, kind)
    return torch.stack([door, colour, (kind - AGENT).clamp(min=0)], -1).to(torch.uint8)


class CellTables(NamedTuple):
    """Tables over the codes; every leaf leads with ``NUM_CODES``."""

    triple: Tensor  # uint8 [128, 3]: the encoding in observations
    transparent: Tensor  # bool: light passes
    enterable: Tensor  # bool: the agent may enter the cell
    portable: Tensor  # bool: the agent may pick it up
    goal: Tensor  # bool
    lava: Tensor  # bool
    box: Tensor  # bool
    toggled: Tensor  # uint8: the code after a toggle without a key (boxes: see the engine)
    key: Tensor  # uint8: the key of a locked door; 255, which is no code, elsewhere
    opened: Tensor  # uint8: the same door, open


def cell_tables(device: torch.device | str = "cpu") -> CellTables:
    """The tables for MiniGrid's base step and visibility."""
    code = torch.arange(NUM_CODES, dtype=torch.int32)
    kind, colour, state = unpack(code).unbind(-1)
    door = kind == DOOR
    opened = door & (state == OPEN)
    locked = door & (state == LOCKED)
    tables = CellTables(
        triple=unpack(code),
        transparent=(kind != WALL) & (~door | opened),
        enterable=(kind == NOTHING) | (kind == FLOOR) | (kind == GOAL) | (kind == LAVA) | opened,
        portable=(kind == KEY) | (kind == BALL) | (kind == BOX),
        goal=kind == GOAL,
        lava=kind == LAVA,
        box=kind == BOX,
        toggled=torch.where(door & ~locked, code ^ DOOR ^ AGENT + CLOSED, code).to(torch.uint8),
        key=torch.where(locked, KEY | colour << 4, 255).to(torch.uint8),
        opened=torch.where(door, DOOR | colour << 4, code).to(torch.uint8),
    )
    return CellTables(*(table.to(device) for table in tables))
