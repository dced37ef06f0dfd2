"""Small models and small environments for the tests of this folder."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from suites import slow_but

from memrl.agents.sb3 import MemoryPPO
from memrl.memory.registry import names, schema

SMALL = {"hidden_dim": 5, "slots": 3, "word_dim": 2, "frames": 3, "neighbours": 2}
# One of each kind of state; what holds for these is of the algorithm, not of a memory: the others
# run in the slow suite.
KINDS = {"none", "framestack", "lstm", "dnc"}
MEMORIES = slow_but(KINDS, names())
BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)
STEPS = 8  # per copy and rollout


class Sampled(gymnasium.Env[Any, Any]):
    """Observations drawn from a space, the count of steps as reward, episodes of fixed length.

    The last step terminates, or with ``late`` it is cut off by time.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any] = BOX,
        action_space: spaces.Space[Any] | None = None,
        *,
        length: int = 5,
        late: bool = False,
    ) -> None:
        self.observation_space = copy.deepcopy(observation_space)
        self.action_space = spaces.Discrete(3) if action_space is None else action_space
        self.length, self.late, self.t, self.resets = length, late, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t, self.resets = 0, self.resets + 1
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(_plain(action)), action
        self.t += 1
        ended = self.t == self.length
        obs = self.observation_space.sample()
        return obs, float(self.t), ended and not self.late, ended and self.late, {}


def _plain(action: Any) -> Any:
    return int(action) if np.ndim(action) == 0 else np.asarray(action)


def copies(make: Callable[[], gymnasium.Env[Any, Any]] = Sampled, B: int = 2) -> DummyVecEnv:
    """B environments with SB3's episode statistics."""
    return DummyVecEnv([lambda: Monitor(make()) for _ in range(B)])


def options(memory: str) -> dict[str, int]:
    """Small sizes for those of ``SMALL`` that the memory has."""
    return {name: size for name, size in SMALL.items() if name in schema(memory).model_fields}


def make_model(
    env: gymnasium.Env[Any, Any] | VecEnv | str | None = None,
    memory: str = "gru",
    *,
    policy: dict[str, Any] | None = None,
    seed: int | None = 3,
    double: bool = False,
    **given: Any,
) -> MemoryPPO:
    """A small ``MemoryPPO``; without an environment, on two copies of `Sampled`."""
    env = copies() if env is None else env
    is_dict = not isinstance(env, str) and isinstance(env.observation_space, spaces.Dict)
    model = MemoryPPO(
        "MultiInputPolicy" if is_dict else "MlpPolicy",
        env,
        seed=seed,
        policy_kwargs=_without_none(
            {"memory": memory, "memory_kwargs": options(memory)}
            | {"encoder_dim": 7, "head_dim": 3}
            | (policy or {})
        ),
        **{"n_steps": STEPS, "batch_size": STEPS, "n_epochs": 2, "device": "cpu"} | given,
    )
    if double:
        model.policy.double()
    return model


def _without_none(words: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


def parameters(model: MemoryPPO) -> torch.Tensor:
    """All parameters as one vector."""
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


class Rows(KVWriter):
    """Keeps what a logger writes, one dict a dump."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values, key_excluded, step=0) -> None:
        self.rows.append(dict(key_values))

    def close(self) -> None:
        pass


def logged(model: MemoryPPO) -> list[dict[str, Any]]:
    """What the model logs from now on; an update is in the row of the rollout after it."""
    writer = Rows()
    model.set_logger(Logger(folder=None, output_formats=[writer]))
    return writer.rows


class Watch(BaseCallback):
    """Calls a function after every step, with the callback itself; its answer goes on or stops."""

    def __init__(self, look: Callable[[BaseCallback], bool | None]) -> None:
        super().__init__()
        self.look = look

    def _on_step(self) -> bool:
        return self.look(self) is not False
