"""Encode a grid of symbols, such as MiniGrid's partial view."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.nn.fingerprint import per_distinct
from memrl.nn.init import linear


class GridEncoder(nn.Module):
    """A uint8 grid [*N, W, H, C] to features [*N, encoder_dim].

    It adds the embeddings of a cell's channels, and mixes all cells by a linear layer with ReLU.

    The initial embeddings avoid a large common offset, which would leave all ReLUs active or all
    inactive: code 0 ("unseen", "nothing") has a zero embedding, and the channels after the first
    (colour, state) have small ones. With the offset, agents did not learn a task that compares an
    object with an earlier one.

    On the CPU each distinct grid of a large batch is encoded once.
    """

    QUALIFIER_STD = 0.1  # of the initial embeddings of the channels after the first
    offset: Tensor

    def __init__(self, shape: tuple[int, ...], encoder_dim: int, cell_dim: int) -> None:
        super().__init__()
        width, height, channels = shape
        self.shape = shape
        self.out_dim = encoder_dim
        self.cells = nn.Parameter(torch.randn(channels * 256, cell_dim))
        with torch.no_grad():
            self.cells[256:] *= self.QUALIFIER_STD
            self.cells[::256] = 0.0
        self.mix = linear(width * height * cell_dim, encoder_dim)
        self.register_buffer("offset", torch.arange(channels) * 256, persistent=False)

    def forward(self, grid: Tensor) -> Tensor:
        flat = grid.reshape(-1, *self.shape)
        return per_distinct(self._encode, flat).view(*grid.shape[:-3], self.out_dim)

    def _encode(self, grid: Tensor) -> Tensor:
        channels = F.embedding(grid.long() + self.offset, self.cells).unbind(-2)
        cells = functools.reduce(torch.add, channels)  # three times as fast as their `sum`
        return self.mix(cells.flatten(1)).relu()  # type: ignore[no-any-return]
