"""Images of grids, drawn with the ``minigrid`` package's tiles."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.translate import to_package

TILE_SIZE = 32  # pixels
_NORTH = 3


def render_grid(
    engine: GridEngine, state: GridState, row: int = 0, tile_size: int = TILE_SIZE
) -> NDArray[np.uint8]:
    """The whole grid and its agent, with visible cells highlighted: uint8 [H, W, 3]."""
    index, lit = engine.visible_cells(state)
    seen = torch.zeros(engine.width * engine.height + 1, dtype=torch.bool)
    seen[index[row][lit[row]].cpu()] = True
    cell = int(state.cell[row])
    picture: NDArray[np.uint8] = to_package(state, row, engine.width, engine.height).render(
        tile_size,
        agent_pos=(cell // engine.height, cell % engine.height),
        agent_dir=int(state.direction[row]),
        highlight_mask=seen[:-1].view(engine.width, engine.height).numpy(),
    )
    return picture


def render_view(
    image: UInt8[Tensor, "V V 3"] | UInt8[np.ndarray, "V V 3"], tile_size: int = TILE_SIZE
) -> NDArray[np.uint8]:
    """The agent's view, from the ``image`` of an observation: uint8 [H, W, 3].

    The agent is drawn over the object that it carries; cells that it cannot see are black.
    """
    from minigrid.core.grid import Grid

    grid, seen = Grid.decode(np.asarray(image.cpu() if isinstance(image, Tensor) else image))
    picture: NDArray[np.uint8] = grid.render(
        tile_size,
        agent_pos=(grid.width // 2, grid.height - 1),
        agent_dir=_NORTH,
        highlight_mask=seen,
    )
    return picture
