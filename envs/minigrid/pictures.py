"""The images of the package's RGB wrappers, for B grids at once; every pixel is equal."""

from __future__ import annotations

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from memrl.envs.minigrid.cells import EMPTY
from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.tiles import NORTH, TileSet, tile_key


def view_tiles(engine: GridEngine, state: GridState, tile_set: TileSet) -> Int[Tensor, "B V V"]:
    """Tile numbers of the agents' views, [row, column], as in ``RGBImgPartialObsWrapper``.

    The agent stands in the middle of the last row, drawn over the object that it carries. Cells
    that it cannot see look empty and dark.
    """
    size = engine.view_size
    index, lit = engine.visible_cells(state)
    codes = torch.where(lit, state.cells.gather(1, index), EMPTY)
    pose = torch.zeros_like(codes)
    own = size // 2 * size + size - 1  # the agent's cell, in the order [column, row]
    codes[:, own] = state.carried
    pose[:, own] = NORTH + 1
    return _numbers(tile_set, codes, pose, lit, size, size)


def grid_tiles(engine: GridEngine, state: GridState, tile_set: TileSet) -> Int[Tensor, "B H W"]:
    """Tile numbers of whole grids, [row, column], as in ``RGBImgObsWrapper``.

    Cells that the agents see are highlighted.
    """
    inside = engine.width * engine.height
    index, lit = engine.visible_cells(state)
    seen = torch.zeros_like(state.cells, dtype=torch.bool).scatter(1, index, lit)
    cell = state.cell.unsqueeze(1)
    pose = torch.zeros_like(state.cells).scatter(
        1, cell, (state.direction + 1).to(state.cells.dtype).unsqueeze(1)
    )
    codes = state.cells[:, :inside]
    return _numbers(
        tile_set, codes, pose[:, :inside], seen[:, :inside], engine.width, engine.height
    )


def paint(numbers: Int[Tensor, "B H W"], tile_set: TileSet) -> UInt8[Tensor, "B P Q 3"]:
    """Images of P = H · tile_size by Q = W · tile_size pixels from tile numbers."""
    batch, height, width = numbers.shape
    side = tile_set.tiles.shape[1]
    # One look-up per row of pixels of a tile, in the order of the image: no transpose follows.
    row = torch.arange(side, dtype=numbers.dtype, device=numbers.device)
    rows = numbers.unsqueeze(2) * side + row.unsqueeze(1)  # [B, H, side, W]
    lines = tile_set.tiles.reshape(-1, side * 3).index_select(0, rows.reshape(-1))
    return lines.view(batch, height * side, width * side, 3)


def _numbers(
    tile_set: TileSet, codes: Tensor, pose: Tensor, lit: Tensor, width: int, height: int
) -> Tensor:
    """From cells in the order [column, row] to tile numbers, int32 [B, row, column]."""
    key = tile_key(codes, pose, lit)
    numbers = tile_set.number.index_select(0, key.reshape(-1))
    return numbers.view(-1, width, height).transpose(1, 2)
