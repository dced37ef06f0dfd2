"""A Gymnasium task whose every number can be checked by hand, with switches that break it."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Counting(gymnasium.Env[Any, Any]):
    """Counts steps; episodes last 2 … 4 steps, drawn from the task's generator.

    Odd lengths terminate, even ones truncate. The reward is the count plus a tenth of the action.
    """

    def __init__(self, fault: str = "", at: int = 0, masks: bool = False, reuse: bool = False):
        self.observation_space = spaces.Dict(
            {
                "count": spaces.Box(0, 9, (2,), np.float64),
                "deep": spaces.Dict({"parity": spaces.Discrete(2, start=5)}),
                "mission": spaces.Text(30),
                "shade": spaces.Box(0, 255, (1,), np.uint8),
            }
        )
        self.action_space = spaces.Discrete(3, start=-1)
        self.fault, self.at, self.masks = fault, at, masks
        self.buffer = np.zeros(2) if reuse else None
        self.t, self.length = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.integers(2, 5))
        if self.fault.endswith("at reset"):
            self.stop(self.fault.removesuffix(" at reset"))
        return self.see(), self.info()

    def step(self, action):
        assert self.action_space.contains(int(action)), action
        self.t += 1
        if self.fault == "raise" and self.t == self.at:
            raise KeyError("lost key")
        if self.t == self.at:
            self.stop(self.fault)
        ended = self.t == self.length
        if self.t == self.at and self.fault in self.ANSWERS:
            return self.ANSWERS[self.fault](self.see())
        reward = float("nan") if self.fault == "reward" and self.t == self.at else self.t
        odd = self.length % 2 == 1
        if self.masks or not ended:
            return (
                self.see(),
                reward + int(action) / 10,
                ended and odd,
                ended and not odd,
                self.info(),
            )
        info = {"is_success": odd}
        return self.see(), reward + int(action) / 10, ended and odd, ended and not odd, info

    # Whole answers to a step that are wrong in one way.
    ANSWERS: ClassVar = {
        "no reward": lambda obs: (obs, None, False, False, {}),
        "two rewards": lambda obs: (obs, np.ones(2), False, False, {}),
        "ended maybe": lambda obs: (obs, 0.0, "False", False, {}),
        "four": lambda obs: (obs, 0.0, False, {}),
        "nothing": lambda obs: (None, 0.0, False, False, {}),
        "no count": lambda obs: ({"mission": "count"}, 0.0, False, False, {}),
        "words": lambda obs: ({**obs, "mission": "count!"}, 0.0, False, False, {}),
        "half": lambda obs: ({**obs, "deep": {"parity": 5.5}}, 0.0, False, False, {}),
        "text": lambda obs: ({**obs, "count": ["0", "1"]}, 0.0, False, False, {}),
        "ragged": lambda obs: ({**obs, "count": [[0], [1, 2]]}, 0.0, False, False, {}),
        "300": lambda obs: ({**obs, "shade": [300]}, 0.0, False, False, {}),
    }

    def stop(self, fault):
        """End the process, or do not come back."""
        if fault == "die":
            os._exit(3)
        if fault == "hang":
            time.sleep(3600)

    def info(self):
        return {"action_mask": np.array([1, self.t % 2, 0], np.int8)} if self.masks else {}

    def see(self):
        count = np.array([self.t, self.length], float)
        if self.buffer is not None:
            self.buffer[:] = count
            count = self.buffer
        if self.t == self.at:
            if self.fault == "nan":
                count = count * np.nan
            if self.fault == "shape":
                count = count[:1]
        parity = 9 if self.fault == "range" and self.t == self.at else 5 + self.t % 2
        return {
            "count": count,
            "deep": {"parity": parity},
            "mission": "count",
            "shade": np.array([self.t], np.uint8),
        }
