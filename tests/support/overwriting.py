"""An environment of tensors that writes every observation over the last one."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.rollout.env import BatchedEnv, Obs, Transition


class Overwriting(BatchedEnv):
    """Two environments that count their steps."""

    def __init__(self) -> None:
        self.num_envs, self.device = 2, torch.device("cpu")
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(100)})
        self.action_space = spaces.Discrete(2)
        self.seen = torch.zeros(2, dtype=torch.int64)

    def reset(self, seed: int | None = None) -> Obs:
        return {"obs": self.seen}

    def step(self, action: Tensor) -> Transition:
        self.seen += 1
        never, obs = torch.zeros(2, dtype=torch.bool), {"obs": self.seen}
        return Transition(obs, torch.zeros(2), never, never, obs, {})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        return self.reset()
