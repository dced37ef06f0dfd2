"""The ``minigrid`` package as the oracle: environments to play and states to compare."""

from __future__ import annotations

from typing import Any

import gymnasium
import minigrid  # noqa: F401 (registers its ids)
import torch
from minigrid.minigrid_env import MiniGridEnv

from memrl.envs.minigrid import GridEngine, GridState
from memrl.envs.minigrid.translate import from_package


def package_env(id: str, **kwargs: Any) -> MiniGridEnv:
    # By spec, since by id Gymnasium warns of versions that have a successor.
    env = gymnasium.make(gymnasium.registry[id], disable_env_checker=True, **kwargs).unwrapped
    assert isinstance(env, MiniGridEnv)
    return env


def engine_for(env: MiniGridEnv) -> GridEngine:
    return GridEngine(
        env.width,
        env.height,
        view_size=env.agent_view_size,
        see_through_walls=env.see_through_walls,
    )


def assert_same(ours: GridState, env: MiniGridEnv) -> None:
    for name, got, want in zip(ours._fields, ours, from_package([env]), strict=True):
        assert torch.equal(got, want), name
