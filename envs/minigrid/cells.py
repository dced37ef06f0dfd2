"""What a grid cell can be, as one small integer, and the rules of the game as tables over it.

A code packs the package's triple (type, colour, state), so that every rule that asks for the kind
of a cell ("can it be entered?") is one look-up in a table of 512 entries.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

UNSEEN, NOTHING, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = range(11)
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
OPEN, CLOSED, LOCKED = range(3)

NUM_CODES = 512  # 4 bits of type, 3 of colour, 2 of door state


def pack(kind: int, colour: int = 0, state: int = 0) -> int:
    """The code of one (type, colour, state)."""
    return kind | colour << 4 | state << 7


EMPTY = pack(NOTHING)  # an empty cell, empty hands and an empty box alike
OUTSIDE = pack(WALL, GREY)  # how the world beyond the grid's edge looks


def unpack(code: Int[Tensor, "*shape"]) -> UInt8[Tensor, "*shape 3"]:
    """The package's triples of codes."""
    return torch.stack([code & 15, code >> 4 & 7, code >> 7], -1).to(torch.uint8)


class Rules(NamedTuple):
    """Tables over the codes. Every leaf leads with ``NUM_CODES``."""

    triple: Tensor  # uint8 [512, 3]: what an observation shows
    transparent: Tensor  # bool: light passes
    enterable: Tensor  # bool: the agent may step in
    portable: Tensor  # bool: the agent may pick it up
    goal: Tensor  # bool
    lava: Tensor  # bool
    box: Tensor  # bool
    toggled: Tensor  # int32: what a toggle without a key makes of it (boxes: see the engine)
    key: Tensor  # int32: the key that opens it, if it is a locked door; else -1
    opened: Tensor  # int32: the same door, open


def rules(device: torch.device | str = "cpu") -> Rules:
    """The rules of MiniGrid's base step and of its light."""
    code = torch.arange(NUM_CODES, dtype=torch.int32)
    kind, colour, state = code & 15, code >> 4 & 7, code >> 7
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
        toggled=torch.where(door & ~locked, code ^ 1 << 7, code),  # OPEN and CLOSED differ in bit 7
        key=torch.where(locked, KEY | colour << 4, -1).to(torch.int32),
        opened=torch.where(door, DOOR | colour << 4, code),
    )
    return Rules(*(table.to(device) for table in tables))
