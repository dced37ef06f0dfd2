"""What a grid cell can be, as one small integer, and the rules of the game as tables over it.

A code packs the package's triple (type, colour, state) into seven bits, so that every rule that
asks for the kind of a cell ("can it be entered?") is one look-up in a table of 128 entries, and a
grid is a row of bytes. Only doors have states; a door that is not open counts as a type of its own.
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

NUM_CODES = 128  # 4 bits of type, 3 of colour


def pack(kind: int, colour: int = 0, state: int = 0) -> int:
    """The code of one (type, colour, state)."""
    return (AGENT + state if state else kind) | colour << 4  # 11: a closed door, 12: a locked one


def pack_all(triple: UInt8[np.ndarray, "*shape 3"]) -> UInt8[np.ndarray, "*shape"]:
    """The codes of the package's triples."""
    kind, colour, state = np.moveaxis(triple, -1, 0)
    codes: NDArray[np.uint8] = np.where(state > 0, AGENT + state, kind) | colour << 4
    return codes


EMPTY = pack(NOTHING)  # an empty cell, empty hands and an empty box alike
OUTSIDE = pack(WALL, GREY)  # how the world beyond the grid's edge looks


def unpack(code: Integer[Tensor, "*shape"]) -> UInt8[Tensor, "*shape 3"]:
    """The package's triples of codes."""
    kind, colour = code.int() & 15, code.int() >> 4
    door = torch.where(kind > AGENT, DOOR, kind)
    return torch.stack([door, colour, (kind - AGENT).clamp(min=0)], -1).to(torch.uint8)


class Rules(NamedTuple):
    """Tables over the codes. Every leaf leads with ``NUM_CODES``."""

    triple: Tensor  # uint8 [128, 3]: what an observation shows
    transparent: Tensor  # bool: light passes
    enterable: Tensor  # bool: the agent may step in
    portable: Tensor  # bool: the agent may pick it up
    goal: Tensor  # bool
    lava: Tensor  # bool
    box: Tensor  # bool
    toggled: Tensor  # uint8: what a toggle without a key makes of it (boxes: see the engine)
    key: Tensor  # uint8: the key that opens it, if it is a locked door; else 255, which is no code
    opened: Tensor  # uint8: the same door, open


def rules(device: torch.device | str = "cpu") -> Rules:
    """The rules of MiniGrid's base step and of its light."""
    code = torch.arange(NUM_CODES, dtype=torch.int32)
    kind, colour, state = unpack(code).unbind(-1)
    door = kind == DOOR
    opened = door & (state == OPEN)
    locked = door & (state == LOCKED)
    tables = Rules(
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
    return Rules(*(table.to(device) for table in tables))
