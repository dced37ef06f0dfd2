"""A Gymnasium environment as a user writes it: a lamp at the entrance tells the door to take."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces


class OwnCorridor(gymnasium.Env):
    """The lamp is seen in the first observation only; the reward is 1 behind the right door."""

    # The lamp, and the part of the way that is behind.
    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    length = 3

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side, self.at = int(self.np_random.integers(2)), 0
        return self._see(), {}

    def step(self, action):
        self.at += 1
        over = self.at == self.length
        right = over and int(action) == self.side
        return self._see(), float(right), over, False, {"is_success": right} if over else {}

    def _see(self):
        lamp = (-1.0, 1.0)[self.side] if self.at == 0 else 0.0
        return np.array([lamp, self.at / self.length], dtype=np.float32)


gymnasium.register("OwnCorridor-v0", entry_point=OwnCorridor)
