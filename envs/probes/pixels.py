"""Pixels: find the bright quarter of an image, to test the image encoder."""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels, Need
from memrl.envs.episodic_env import State
from memrl.envs.probes.probe import FixedLengthProbe, ProbeResult
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class Pixels(FixedLengthProbe):
    """Name the bright quarter of a 64 × 64 image; the other pixels are dark noise.

    The observation is uint8 [B, 64, 64, 3]. Every step draws a new quarter and pays 1 / length for
    the right one. An episode is a success if all answers were right.

    Args:
        num_envs: B.
        length: env steps in an episode.
        device: of all tensors.
    """

    need: ClassVar[Need] = "not needed"
    side = 64

    def __init__(
        self, num_envs: int, *, length: int = 4, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(num_envs, length=length, device=device)
        image = spaces.Box(0, 255, (self.side, self.side, 3), np.uint8)
        self.observation_space = spaces.Dict({"obs": image})
        self.action_space = spaces.Discrete(4)

    @property
    def levels(self) -> Levels:
        return Levels("success", optimum=1.0, memoryless=1.0, guess=0.25**self.length)

    def _draw(self, num: int) -> Tensors:
        return {
            "quarter": self._integers(4, num, self.length + 1),
            "noise": self._integers(64, num, self.side, self.side, dtype=torch.uint8),
        }

    def _initial_state(self, setups: Setups) -> State:
        return {"right": self._flags(True)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        quarter = setups.at("quarter", state["t"]).unsqueeze(1)  # [B, 1]
        half = torch.arange(self.side, device=self.device) // (self.side // 2)  # [64]
        rows, columns = half == quarter // 2, half == quarter % 2  # each [B, 64]
        lit = rows.unsqueeze(2) & columns.unsqueeze(1)  # [B, 64, 64]
        grey = setups["noise"].masked_fill_(lit, 255)
        return {"obs": grey.unsqueeze(-1).expand(-1, -1, -1, 3).contiguous()}

    def _result(self, setups: Setups, state: State, action: Tensor) -> ProbeResult:
        hit = action == setups.at("quarter", state["t"])
        right = state["right"] & hit
        return ProbeResult({**state, "right": right}, hit.float() / self.length, right)

    def render(self, index: int = 0) -> Any:
        if self._setups is None:
            return None
        return self._observe(self._setups, self._state)["obs"][index].cpu().numpy()
