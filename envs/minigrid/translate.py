"""Between the ``minigrid`` package's objects and the tensors of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from memrl.envs.minigrid.cells import EMPTY, OUTSIDE, pack, unpack
from memrl.envs.minigrid.engine import GridState

if TYPE_CHECKING:
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj
    from minigrid.minigrid_env import MiniGridEnv


def from_package(envs: Sequence[MiniGridEnv]) -> GridState:
    """The present states of environments of the package (unwrapped, grids of one size).

    Raises:
        ValueError: a box holds something that itself holds something.
    """
    cells, contents, agent, hands = [], [], [], []
    for env in envs:
        grid, (x, y) = env.grid, env.agent_pos
        objects = [grid.get(i, j) for i in range(grid.width) for j in range(grid.height)]
        cells.append([*map(_code, objects), OUTSIDE])
        contents.append([*map(_held, objects), EMPTY])
        agent.append((int(x) * grid.height + int(y), int(env.agent_dir)))
        hands.append((_code(env.carrying), _held(env.carrying)))
    cell, direction = torch.tensor(agent).unbind(1)
    carried, held = torch.tensor(hands, dtype=torch.int32).unbind(1)
    codes, inside = (torch.tensor(rows, dtype=torch.int32) for rows in (cells, contents))
    return GridState(codes, inside, cell, direction, carried, held)


def to_package(state: GridState, row: int, width: int, height: int) -> Grid:
    """One grid as the package's, for drawing: without the agent and what boxes hold."""
    from minigrid.core.grid import Grid

    codes = state.cells[row, : width * height].view(width, height)
    return Grid.decode(unpack(codes).cpu().numpy())[0]


def _code(thing: WorldObj | None) -> int:
    return EMPTY if thing is None else pack(*thing.encode())


def _held(thing: WorldObj | None) -> int:
    if thing is None or thing.contains is None:
        return EMPTY
    if thing.contains.contains is not None:
        raise ValueError(f"a {thing.type} holds a {thing.contains.type} that is not empty")
    return _code(thing.contains)
