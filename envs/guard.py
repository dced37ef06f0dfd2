"""Copies of a Gymnasium id, each behind a guard that names the copy which makes a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from memrl.rollout.spaces import leaves


def vector_env(
    id: str, num: int, *, vectorization: str = "sync", **kwargs: Any
) -> VectorEnv[Any, Any, Any]:
    """``num`` copies of a Gymnasium id: in this process, one process each, or as the id provides.

    ``sync`` and ``async`` reset in the step that ends an episode, and name the copy that fails;
    ``vector_entry_point`` is the id's own vector environment with its own reset mode. ``kwargs``
    go to the environment.

    Raises:
        ValueError: another word for ``vectorization``.
    """
    spec = gymnasium.spec(id)
    if vectorization == "vector_entry_point" or spec.entry_point is None:
        return gymnasium.make_vec(id, num, vectorization_mode=vectorization, **kwargs)
    copies = [partial(_copy, id, index, kwargs) for index in range(num)]
    if vectorization == "sync":
        return SyncVectorEnv(copies, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    if vectorization == "async":
        return AsyncVectorEnv(copies, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    raise ValueError(
        f"vectorization is {vectorization!r}, allowed: sync, async, vector_entry_point"
    )


def _copy(id: str, index: int, kwargs: dict[str, Any]) -> Guard:
    env = gymnasium.make(id, disable_env_checker=True, **kwargs)
    return Guard(env, name=id, copy=index)


class Guard(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Flattens the observation to its leaves and names the copy that raises or breaks its space.

    It runs next to the environment (in the worker of an ``AsyncVectorEnv``), because a vector
    environment forgets who was wrong, and cannot put a text such as MiniGrid's mission into shared
    memory.

    Args:
        env: one copy.
        name: what to call the environment in errors.
        copy: its index among the copies.

    Raises:
        ValueError: an observation whose shape is not that of its space.
        RuntimeError: anything that the environment itself raises.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], *, name: str, copy: int) -> None:
        super().__init__(env)
        self._who = f"copy {copy} of {name}"
        self._leaves = leaves(env.observation_space)
        self.observation_space = spaces.Dict({k: leaf.given for k, leaf in self._leaves.items()})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        with self._named("reset"):
            obs, info = self.env.reset(seed=seed, options=options)
        return self._flat(obs, "reset"), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._named("step"):
            obs, reward, terminated, truncated, info = self.env.step(action)
        return self._flat(obs, "step"), float(reward), bool(terminated), bool(truncated), info

    @contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise RuntimeError(
                f"{self._who}: {verb} raised {type(error).__name__}: {error}"
            ) from error

    def _flat(self, obs: Any, verb: str) -> dict[str, Any]:
        flat = {}
        for key, leaf in self._leaves.items():
            # A copy: some environments reuse one buffer, and the reset that follows the last step
            # of an episode would overwrite its last observation.
            flat[key] = value = np.array(leaf.pick(obs))
            if value.shape != (leaf.given.shape or ()):
                raise ValueError(
                    f"{self._who}: {verb} gave {key!r} of shape {value.shape}, "
                    f"its space says {leaf.given.shape or ()}"
                )
        return flat
