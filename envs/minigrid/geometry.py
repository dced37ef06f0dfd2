"""Index tables of the cell ahead of every pose and of the cells in its view.

Cells are numbered ``x * height + y``. One more number, ``width * height``, stands for all cells
outside the grid. A pose is ``cell * 4 + direction`` with directions east, south, west, north.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def front_table(width: int, height: int) -> Int[Tensor, " P"]:
    """The cell in front of each pose."""
    return _relative(width, height, torch.ones(1), torch.zeros(1)).squeeze(-1)


def view_table(width: int, height: int, view_size: int) -> Int[Tensor, "P K"]:
    """The K = V² cells in view of each pose, in the order [column, row] of observations.

    The agent stands at column V // 2 of the last row and faces row 0.
    """
    column, row = torch.meshgrid(*[torch.arange(view_size)] * 2, indexing="ij")
    ahead, aside = view_size - 1 - row, column - view_size // 2
    return _relative(width, height, ahead.flatten(), aside.flatten())


def _relative(width: int, height: int, ahead: Tensor, aside: Tensor) -> Tensor:
    """The cells ``ahead`` and ``aside`` (to the right) of every pose: int64 [P, K]."""
    dx, dy = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1]]).unbind(1)
    x, y, direction = (
        axis.reshape(-1, 1)
        for axis in torch.meshgrid(
            torch.arange(width), torch.arange(height), torch.arange(4), indexing="ij"
        )
    )
    dx, dy = dx[direction], dy[direction]
    x = (x + dx * ahead - dy * aside).long()  # a right turn takes (dx, dy) to (-dy, dx)
    y = (y + dy * ahead + dx * aside).long()
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return torch.where(inside, x * height + y, width * height)
