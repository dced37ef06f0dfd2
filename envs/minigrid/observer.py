"""What an agent is shown of a grid: symbols, its view as a picture, or the whole grid as one."""

from __future__ import annotations

import difflib
from typing import Final, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Shaped, UInt8
from torch import Tensor

from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.pictures import grid_tiles, paint, view_tiles
from memrl.envs.minigrid.tiles import EVERY_CODE, draw_tiles

OBSERVATIONS: Final = ("symbolic", "rgb", "rgb_full")
TILE_SIZE: Final = 8  # pixels, as the package's RGB wrappers have it
MIN_SIDE: Final = 32  # pixels; policies take smaller uint8 images for grids of symbols


def check_observation(observation: str) -> None:
    """Raise a ValueError for an observation that there is none of; the nearest is named."""
    if observation not in OBSERVATIONS:
        near = difflib.get_close_matches(observation, OBSERVATIONS, n=1, cutoff=0)[0]
        raise ValueError(
            f"observation is {observation!r}, allowed: {', '.join(OBSERVATIONS)}; "
            f"did you mean {near!r}?"
        )


@final
class Observer:
    """Images of states, uint8 [B, ...]: all of `space`, whichever observation was asked for.

    ``symbolic`` is the package's own image of the view, [V, V, 3], indexed [column, row];
    ``rgb`` the picture of ``RGBImgPartialObsWrapper``, ``rgb_full`` that of ``RGBImgObsWrapper``,
    both indexed [row, column] of pixels.

    A picture is large and its tiles are few: an environment that looks states up in a table keeps
    what `encode` makes of them and lets `decode` paint those in hand.

    Args:
        engine: whose states are observed.
        observation: one of ``OBSERVATIONS``.
        tile_size: pixels of a cell's side; of pictures only.
        codes: what cells can hold or agents carry; fewer are drawn sooner.
        device: where `decode` paints; `encode` answers where the states are.

    Raises:
        ValueError: another observation, or a tile size that makes pictures below 32 pixels.
    """

    def __init__(
        self,
        engine: GridEngine,
        observation: str = "symbolic",
        *,
        tile_size: int = TILE_SIZE,
        codes: tuple[int, ...] = EVERY_CODE,
        device: torch.device | str = "cpu",
    ) -> None:
        check_observation(observation)
        self._engine, self._kind = engine, observation
        width = height = engine.view_size
        self._tile_set = None
        if observation != "symbolic":
            if observation == "rgb_full":
                width, height = engine.width, engine.height
            _check_side(max(width, height), tile_size)
            self._tile_set = draw_tiles(tile_size, codes).to(device)
            width, height = width * tile_size, height * tile_size
        self.space = spaces.Box(0, 255, (height, width, 3), np.uint8)

    def __call__(self, state: GridState) -> UInt8[Tensor, "B P Q 3"]:
        """The images of states."""
        return self.decode(self.encode(state))

    def encode(self, state: GridState) -> Shaped[Tensor, "B H W ..."]:
        """What `decode` needs of states: the symbols, or the numbers of tiles."""
        if self._tile_set is None:
            return self._engine.observe(state)
        tiles = view_tiles if self._kind == "rgb" else grid_tiles
        return tiles(self._engine, state, self._tile_set.to(state.cells.device))

    def decode(self, seen: Shaped[Tensor, "B H W ..."]) -> UInt8[Tensor, "B P Q 3"]:
        """The images of what `encode` gave."""
        return seen if self._tile_set is None else paint(seen, self._tile_set)


def _check_side(cells: int, tile_size: int) -> None:
    if cells * tile_size < MIN_SIDE:
        raise ValueError(
            f"tile_size is {tile_size}: pictures of {cells * tile_size} pixels are too small, "
            f"allowed: from {MIN_SIDE} pixels, which is a tile_size from {-(-MIN_SIDE // cells)}"
        )
