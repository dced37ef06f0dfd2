"""Random play for the benchmark of environments: memrl, the original package, EnvPool."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeAlias

import gymnasium
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.make import TENSOR_FAMILIES, make
from memrl.envs.providers import provide

Player: TypeAlias = Callable[[], int]  # takes random actions; returns the number of env steps


def tensor_player(id: str, num: int, device: torch.device) -> Player:
    """``num`` tensor environments, stepped at once.

    Raises:
        ValueError: the id has no tensor environment.
    """
    if not any(id in family.ids for family in TENSOR_FAMILIES.values()):
        raise ValueError(f"{id!r} is not a tensor environment; `memrl envs` lists them")
    env = make(id, num, device, seed=0)
    generator = torch.Generator(device).manual_seed(0)

    def play(steps: int = 16) -> int:
        for action in _actions(env.action_space, steps, num, generator).unbind():
            env.step(action)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return steps * num

    return play


def package_player(id: str) -> Player | None:
    """One environment of the original package; None if it is not installed.

    Its environments step one after the other, so that more of them are not faster.
    """
    try:
        provide(id)
        env = gymnasium.make(gymnasium.registry[id], disable_env_checker=True)
    except (ValueError, KeyError, gymnasium.error.Error):
        return None
    env.action_space.seed(0)
    env.reset(seed=0)

    def play(steps: int = 64) -> int:
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        return steps

    return play


def envpool_player(id: str, num: int, threads: int) -> Player | None:
    """``num`` environments of EnvPool; None if it is not installed or lacks the id."""
    if find_spec("envpool") is None:
        return None
    import envpool

    if id not in envpool.list_all_envs():
        return None
    pool = envpool.make_gymnasium(id, num_envs=num, num_threads=threads, seed=0)
    generator = torch.Generator().manual_seed(0)
    pool.reset()

    def play(steps: int = 4) -> int:
        for action in _actions(pool.action_space, steps, num, generator).unbind():
            pool.step(action.numpy())
        return steps * num

    return play


def _actions(space: spaces.Space[Any], steps: int, num: int, generator: torch.Generator) -> Tensor:
    """Uniform actions [steps, num] or [steps, num, D]."""
    shape, device = (steps, num, *(space.shape or ())), generator.device
    if isinstance(space, spaces.Box):
        low, high = (torch.as_tensor(bound, device=device) for bound in (space.low, space.high))
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)
    if isinstance(space, spaces.MultiDiscrete):
        sizes = torch.as_tensor(space.nvec, device=device)
        return torch.randint(2**62, shape, generator=generator, device=device) % sizes
    assert isinstance(space, spaces.Discrete)
    return torch.randint(int(space.n), shape, generator=generator, device=device)
