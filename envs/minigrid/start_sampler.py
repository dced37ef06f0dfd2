"""Banks of first states: which start an episode gets is drawn on the device, by number."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


class StartSampler(NamedTuple):
    """M levels with their start poses: a level is drawn uniformly, then one of its poses.

    Starts are numbered level by level.
    """

    first: Tensor  # int64 [M]: number of a level's first start
    poses: Tensor  # int64 [M]: how many starts a level has

    def draw(self, num: int, generator: torch.Generator) -> Int[Tensor, " num"]:
        """Numbers of ``num`` starts, independent and, to one part in 2^40, exactly distributed."""
        levels = self.first.shape[0]
        bits = torch.empty(num, dtype=torch.int64, device=self.first.device)
        bits.random_(generator=generator)  # 63 random bits: remainders of them are uniform
        level = bits % levels
        pose = (bits // levels) % self.poses.index_select(0, level)
        return self.first.index_select(0, level) + pose
