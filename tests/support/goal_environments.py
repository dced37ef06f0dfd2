"""Goal environments in NumPy, with the convention of Gymnasium-Robotics."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

CELLS = 7


class Line(gymnasium.Env):
    """Walk left or right on a line to the cell that is asked for; each step off it costs 1."""

    action_space = spaces.Discrete(2)
    cell = spaces.Box(0, CELLS - 1, (1,), np.float64)
    observation_space = spaces.Dict(
        {"observation": spaces.Box(-1, 1, (3,)), "achieved_goal": cell, "desired_goal": cell}
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = (int(self.np_random.integers(CELLS)) for _ in range(2))
        return self.see(), {}

    def step(self, action):
        self.at = int(np.clip(self.at + 2 * int(action) - 1, 0, CELLS - 1))
        obs = self.see()
        goals = obs["achieved_goal"], obs["desired_goal"]
        info = {"is_success": self.at == self.goal}
        ends = self.compute_terminated(*goals, info)
        return obs, float(self.compute_reward(*goals, info)), ends, False, info

    def see(self):
        return {
            "observation": np.full(3, self.at / CELLS, np.float32),
            "achieved_goal": np.array([self.at], float),
            "desired_goal": np.array([self.goal], float),
        }

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.abs(achieved_goal - desired_goal).max(axis=-1) > 0.5).astype(np.float32)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return bool(
            np.abs(achieved_goal - desired_goal).max() < 0.5
        )  # of one goal, as by convention


class ContinuingLine(Line):
    """No goal ends an episode, as in Fetch."""

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return False


class Numbered(Line):
    """Goals are numbers from five on."""

    cell = spaces.Discrete(CELLS, start=5)
    observation_space = spaces.Dict(
        {"observation": spaces.Box(-1, 1, (3,)), "achieved_goal": cell, "desired_goal": cell}
    )

    def see(self):
        numbers = {"achieved_goal": 5 + self.at, "desired_goal": 5 + self.goal}
        return super().see() | numbers

    def compute_reward(self, achieved_goal, desired_goal, info):
        assert np.min(achieved_goal) >= 5
        return np.asarray(achieved_goal == desired_goal, np.float32)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return bool(achieved_goal == desired_goal)


class OneAtATime(Line):
    """Computes the reward of one goal only."""

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -float(np.abs(achieved_goal - desired_goal).max() > 0.5)


class Breaks(Line):
    """Fails for more than one goal."""

    def compute_reward(self, achieved_goal, desired_goal, info):
        if np.ndim(achieved_goal) > 1:
            raise KeyError("distance")
        return -1.0


def _wrapped(cls, scale=1.0, **options):
    """As users wrap: statistics, perhaps a scaled reward."""
    env = gymnasium.wrappers.RecordEpisodeStatistics(cls(**options))
    return env if scale == 1 else gymnasium.wrappers.TransformReward(env, lambda r: scale * r)


for _cls in (Line, ContinuingLine, Numbered, OneAtATime, Breaks):
    gymnasium.register(
        f"goals/{_cls.__name__}-v0",
        entry_point=lambda cls=_cls, **options: _wrapped(cls, **options),
        max_episode_steps=9,
    )
