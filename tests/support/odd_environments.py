"""Small Gymnasium environments that are odd in one way each, as users' environments are."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces


class Plain(gymnasium.Env):
    """Five steps of random numbers; every other class here changes one thing."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  as gymnasium.Env declares it
    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(3)
    length = 5

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.see(), self.info()

    def step(self, action):
        self.t += 1
        return self.see(), 1.0, self.t >= self.length, False, self.info()

    def see(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def info(self):
        return {}


class Endless(Plain):
    """Has no end, and nobody gave it a time limit."""

    length = 10**9


class SometimesEndless(Plain):
    """Ends after two steps, but not in its first episode."""

    length = 2
    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += seed is None
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.episodes > 0 and self.t >= self.length, False, info


class SuccessInPercent(Plain):
    """Says how much of its task is done, in percent."""

    def info(self):
        return {"is_success": 20.0 * self.t}


for _odd in Plain.__subclasses__():
    gymnasium.register(f"odd/{_odd.__name__}-v0", entry_point=_odd)
