"""The levels of the Memory family: a room with a cue, a hallway, and two objects at its end."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from memrl.envs.minigrid.cells import BALL, EMPTY, GREEN, KEY, OUTSIDE, pack
from memrl.envs.minigrid.engine import GridState
from memrl.envs.minigrid.start_sampler import StartSampler


def memory_levels(size: int, random_length: bool) -> tuple[GridState, StartSampler]:
    """Every start state of MiniGrid-Memory: hallway ends × cues × layouts, then the agent's x.

    The end of the hallway is ``size - 3``, or uniform over 4 … size - 3; the agent stands in the
    middle row at x uniform over 1 … end and faces east.
    """
    ends = range(4, size - 2) if random_length else [size - 3]
    grids, poses, count = [], [], []
    for end in ends:
        for cue in (KEY, BALL):
            for upper, lower in ((BALL, KEY), (KEY, BALL)):
                grids += [_memory_grid(size, end, cue, upper, lower)] * end
                poses += [x * size + size // 2 for x in range(1, end + 1)]
                count.append(end)
    cells, cell, counts = torch.stack(grids), torch.tensor(poses), torch.tensor(count)
    none = torch.full_like(cells[:, 0], EMPTY)
    starts = GridState(
        cells, torch.full_like(cells, EMPTY), cell, torch.zeros_like(cell), none, none
    )
    return starts, StartSampler(counts.cumsum(0) - counts, counts)


def memory_cue(size: int) -> int:
    """The cell of the cue, in every level."""
    return 1 * size + size // 2 - 1


def memory_choices(cells: UInt8[Tensor, "B N"], size: int) -> tuple[Tensor, Tensor]:
    """The cells that end an episode when the agent enters them: (success [B], failure [B]).

    They are next to the two objects at the end of the hallway; success is next to the object that
    equals the cue.
    """
    grid = cells[:, :-1].view(-1, size, size)
    middle = size // 2
    upper, lower = grid[:, :, middle - 2], grid[:, :, middle + 2]  # [B, x]
    cue = grid[:, 1, middle - 1].unsqueeze(1)
    things = (upper == pack(KEY, GREEN)) | (upper == pack(BALL, GREEN))
    x = things.long().argmax(1)
    above, below = x * size + middle - 1, x * size + middle + 1
    up = (upper == cue).any(1)
    assert (up ^ (lower == cue).any(1)).all(), "exactly one choice matches the cue"
    return torch.where(up, above, below), torch.where(up, below, above)


def _memory_grid(size: int, end: int, cue: int, upper: int, lower: int) -> Tensor:
    """Cells [size² + 1] of one level: room, hallway up to x = ``end``, and the crossing."""
    grid = torch.full((size, size), EMPTY, dtype=torch.uint8)  # [x, y]
    middle = size // 2
    grid[[0, -1], :] = OUTSIDE
    grid[:, [0, -1]] = OUTSIDE
    grid[1:5, [middle - 2, middle + 2]] = OUTSIDE  # the room, with a door to the east
    grid[4:5, [middle - 1, middle + 1]] = OUTSIDE
    grid[5:end, [middle - 1, middle + 1]] = OUTSIDE  # the hallway
    grid[[end, end + 2], :] = OUTSIDE  # the crossing
    grid[end, middle] = EMPTY
    grid[1, middle - 1] = pack(cue, GREEN)
    grid[end + 1, middle - 2] = pack(upper, GREEN)
    grid[end + 1, middle + 2] = pack(lower, GREEN)
    return torch.cat([grid.flatten(), torch.tensor([OUTSIDE], dtype=torch.uint8)])
