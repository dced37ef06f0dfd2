"""Samples the start states of episodes, on the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


class StartSampler(NamedTuple):
    """Draws a level uniformly from M levels, then a start pose of this level.

    Start states are numbered level by level.
    """

    first: Tensor  # int64 [M]: index of a level's first start state
    poses: Tensor  # int64 [M]: number of start states of a level

    def draw(self, num: int, generator: torch.Generator) -> Int[Tensor, " num"]:
        """Indices of ``num`` independent start states, with probabilities exact to 1 in 2^40."""
        levels = self.first.shape[0]
        bits = torch.empty(num, dtype=torch.int64, device=self.first.device)
        bits.random_(generator=generator)  # 63 random bits: their remainders are uniform
        level = bits % levels
        pose = (bits // levels) % self.poses.index_select(0, level)
        return self.first.index_select(0, level) + pose
