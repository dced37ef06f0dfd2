"""Bars beside each other as one artist: hundreds of rectangles would each be drawn by itself."""

from __future__ import annotations

from typing import final

import numpy as np
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

_CODES = [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY]


@final
class Bars(PathPatch):
    """A bar from 0 to each of N ``heights``, around the whole numbers from 0 on."""

    def __init__(self, heights: NDArray[np.float64], *, width: float, colour: str) -> None:
        self._width = width
        super().__init__(self._outline(heights), color=colour, linewidth=0)
        self.sticky_edges.y.append(0.0)

    def set_heights(self, heights: NDArray[np.float64]) -> None:
        """Show other heights."""
        self.set_path(self._outline(heights))

    def _outline(self, heights: NDArray[np.float64]) -> Path:
        self.heights = heights
        there = np.flatnonzero(np.isfinite(heights) & (heights != 0))
        corners = np.zeros((len(there), len(_CODES), 2))
        corners[..., 0] = there[:, None] + self._width * np.array([-0.5, -0.5, 0.5, 0.5, -0.5])
        corners[:, 1:3, 1] = heights[there, None]
        return Path(corners.reshape(-1, 2), _CODES * len(there))
