"""The memory chain of bsuite: recall the bits of the first step in the last one.

``bsuite/memory_len-0`` … ``-22`` are its chains of 1 to 100 steps with one bit, and
``bsuite/memory_size-0`` … ``-16`` those of two steps with 1 to 40 bits, one of which is asked for.
"""

from __future__ import annotations

from typing import Any, final

import dm_env
import gymnasium
import numpy as np
from bsuite.experiments.memory_len import memory_len
from bsuite.experiments.memory_len import sweep as len_sweep
from bsuite.experiments.memory_size import memory_size
from bsuite.experiments.memory_size import sweep as size_sweep
from gymnasium import spaces
from numpy.typing import NDArray

EXPERIMENTS = {"memory_len": (memory_len, len_sweep), "memory_size": (memory_size, size_sweep)}


def register(id: str) -> None:
    """Register all settings of both experiments."""
    for name, (experiment, sweep) in EXPERIMENTS.items():
        for number, setting in enumerate(sweep.SETTINGS):
            key = f"bsuite/{name}-{number}"
            if key not in gymnasium.registry:
                kwargs = {"load": experiment.load, "setting": setting}
                gymnasium.register(key, entry_point=f"{__name__}:MemoryChain", kwargs=kwargs)


@final
class MemoryChain(gymnasium.Env[NDArray[np.float32], Any]):
    """One chain: the last step pays 1 or -1 and terminates the episode.

    Args:
        load: the constructor of the experiment.
        setting: its arguments, one entry of the sweep.
    """

    def __init__(self, *, load: Any, setting: dict[str, Any]) -> None:
        self._load, self._setting = load, setting
        self._env: dm_env.Environment = load(**setting, seed=None)
        observed = self._env.observation_spec()
        self.observation_space = spaces.Box(-np.inf, np.inf, observed.shape, np.float32)
        self.action_space = spaces.Discrete(self._env.action_spec().num_values)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._env = self._load(**self._setting, seed=seed % 2**32)  # its largest seed
        return np.asarray(self._env.reset().observation, np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        given = self._env.step(int(action))
        obs = np.asarray(given.observation, np.float32)
        terminated = bool(given.last() and given.discount == 0)
        return obs, float(given.reward), terminated, bool(given.last()) and not terminated, {}
