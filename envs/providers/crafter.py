"""Crafter, which has the old Gym interface, as Gymnasium environments.

``crafter/Reward-v1`` has rewards for achievements and health, ``crafter/NoReward-v1`` has none.
"""

from __future__ import annotations

from typing import Any, final

import crafter
import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

IDS = {"crafter/Reward-v1": True, "crafter/NoReward-v1": False}


def register(id: str) -> None:
    """Register both ids."""
    for name, reward in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=f"{__name__}:Crafter", kwargs={"reward": reward})


@final
class Crafter(gymnasium.Env[NDArray[np.uint8], Any]):
    """One world; death terminates an episode, the limit of 10,000 env steps truncates it.

    The infos are empty, because the package's info shows the map around the player. A seed repeats
    the worlds, but not the moves of creatures: the package moves them in the order of a set.

    Args:
        reward: with the package's rewards; otherwise they are 0.
        size: side of the image in pixels.
        render_mode: ``rgb_array`` or None.
    """

    def __init__(
        self, *, reward: bool = True, size: int = 64, render_mode: str | None = None
    ) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self._options = {"size": (size, size), "reward": reward}
        self._world = crafter.Env(**self._options)
        self.action_space = spaces.Discrete(len(self._world.action_names))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._world = crafter.Env(**self._options, seed=seed)
        return self._world.reset(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        obs, reward, done, info = self._world.step(int(action))
        dead = info["discount"] == 0
        return obs, float(reward), dead, bool(done) and not dead, {}

    def render(self) -> NDArray[np.uint8] | None:
        return None if self.render_mode is None else self._world.render()
