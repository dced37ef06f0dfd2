"""Observations of a grid: symbols, or an RGB image of the agent's view or of the whole grid."""

from __future__ import annotations

from typing import Final, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Shaped, UInt8
from torch import Tensor

from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.pictures import grid_tiles, paint, view_tiles
from memrl.envs.minigrid.tiles import EVERY_CODE, draw_tiles
from memrl.errors import nearest

OBSERVATIONS: Final = ("symbolic", "rgb", "rgb_full")
TILE_SIZE: Final = 8  # pixels, the default of the package's RGB wrappers
MIN_SIDE: Final = 32  # pixels; policies treat smaller uint8 images as grids of symbols


def check_observation(observation: str) -> None:
    """Raise a ValueError unless ``observation`` is one of ``OBSERVATIONS``."""
    if observation not in OBSERVATIONS:
        allowed, hint = ", ".join(OBSERVATIONS), nearest(observation, OBSERVATIONS)
        raise ValueError(f"observation is {observation!r}, allowed: {allowed}{hint}")


@final
class Observer:
    """Computes the images of states, uint8 [B, ...].

    ``symbolic`` is the package's encoding of the view, [V, V, 3], indexed [column, row]. ``rgb`` is
    the image of ``RGBImgPartialObsWrapper``, ``rgb_full`` that of ``RGBImgObsWrapper``; both are
    indexed [row, column] of pixels.

    An RGB image is large, but consists of few different tiles. `encode` therefore computes a
    compact form, which an environment can keep for all of its states; `decode` makes images of it.

    Args:
        engine: of the states.
        observation: one of ``OBSERVATIONS``.
        tile_size: side of a cell in pixels; for RGB images only.
        codes: of all cells and carried objects; fewer codes are faster to draw.
        device: of the images; the compact form stays on the device of the states.

    Raises:
        ValueError: an unknown observation, or a tile size that makes images below 32 pixels.
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
        """The compact form of images: symbols, or tile numbers."""
        if self._tile_set is None:
            return self._engine.observe(state)
        tiles = view_tiles if self._kind == "rgb" else grid_tiles
        return tiles(self._engine, state, self._tile_set.to(state.cells.device))

    def decode(self, encoded: Shaped[Tensor, "B H W ..."]) -> UInt8[Tensor, "B P Q 3"]:
        """The images of a compact form from `encode`."""
        return encoded if self._tile_set is None else paint(encoded, self._tile_set)


def _check_side(cells: int, tile_size: int) -> None:
    if cells * tile_size < MIN_SIDE:
        raise ValueError(
            f"tile_size is {tile_size}, allowed: at least {-(-MIN_SIDE // cells)}, so that images "
            f"have at least {MIN_SIDE} pixels"
        )
