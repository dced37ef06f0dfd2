"""Encode a grid of symbols, as MiniGrid's partial view: embed the cells, mix them once."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.nn.fingerprint import per_distinct
from memrl.nn.init import linear


class GridEncoder(nn.Module):
    """A uint8 grid [*N, W, H, C] to features [*N, encoder_dim].

    The embeddings of a cell's channels are added and all cells mixed by a linear layer with ReLU.
    Embeddings start so that what most cells share is no large offset, which would leave the ReLUs
    all open or all shut: code 0 ("unseen", "nothing") adds nothing, and channels behind the first,
    which only qualify what a cell holds (colour, state), add little. Agents whose features had that
    offset did not learn a task that asks for "the same as before".

    On the CPU a large batch is encoded once per distinct grid.
    """

    QUALIFIER_STD = 0.1  # of the first embeddings of the channels behind the first
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
