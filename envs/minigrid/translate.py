"""Converts the ``minigrid`` package's objects to the engine's tensors and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from memrl.envs.minigrid.cells import EMPTY, OUTSIDE, pack, pack_all, unpack
from memrl.envs.minigrid.engine import GridState

if TYPE_CHECKING:
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj
    from minigrid.minigrid_env import MiniGridEnv


def from_package(envs: Sequence[MiniGridEnv]) -> GridState:
    """The current states of unwrapped environments of the package, with grids of one size.

    Raises:
        ValueError: a box contains a box that is not empty.
    """
    cells, contents, agent, hands = [], [], [], []
    for env in envs:
        grid, (x, y) = env.grid, env.agent_pos
        codes = pack_all(grid.encode())  # [x, y]
        inside = np.full_like(codes, EMPTY)
        for place, thing in enumerate(grid.grid):  # row by row
            if thing is not None and thing.contains is not None:
                inside[place % grid.width, place // grid.width] = _held(thing)
        cells.append(np.append(codes, np.uint8(OUTSIDE)))
        contents.append(np.append(inside, np.uint8(EMPTY)))
        agent.append((int(x) * grid.height + int(y), int(env.agent_dir)))
        hands.append((_code(env.carrying), _held(env.carrying)))
    cell, direction = torch.tensor(agent).unbind(1)
    carried, held = torch.tensor(hands, dtype=torch.uint8).unbind(1)
    every, within = (torch.from_numpy(np.stack(rows)) for rows in (cells, contents))
    return GridState(every, within, cell, direction, carried, held)


def to_package(state: GridState, row: int, width: int, height: int) -> Grid:
    """One grid as the package's `Grid`, without the agent and the contents of boxes."""
    from minigrid.core.grid import Grid

    codes = state.cells[row, : width * height].view(width, height)
    return Grid.decode(unpack(codes).cpu().numpy())[0]


def _code(thing: WorldObj | None) -> int:
    return EMPTY if thing is None else pack(*thing.encode())


def _held(thing: WorldObj | None) -> int:
    if thing is None or thing.contains is None:
        return EMPTY
    if thing.contains.contains is not None:
        raise ValueError(
            f"a {thing.type} contains a {thing.contains.type} that is not empty, allowed: an empty "
            f"{thing.contains.type}"
        )
    return _code(thing.contains)
