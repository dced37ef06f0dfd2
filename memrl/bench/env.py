"""How fast tensor environments step, beside the ``minigrid`` package in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import torch

from memrl.envs.make import TENSOR_FAMILIES, make
from memrl.envs.minigrid import MEMORY_IDS
from memrl.envs.minigrid.families import FAMILIES
from memrl.run.allocator import keep_freed_memory

IDS = (*MEMORY_IDS, *(ids[-1] for ids in FAMILIES.values()))  # Memory, and one of each other kind


def bench_env(
    ids: Sequence[str] = IDS,
    copies: int = 4096,
    *,
    seconds: float = 1.0,
    windows: int = 5,
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, Any]]:
    """Env steps per second under random actions, episodes beginning anew where they end.

    The two implementations take turns, so that other load on the machine meets both; each result
    is the median over the turns. The package plays one copy, since its copies cost the same each;
    where Gymnasium has no original of a task, its numbers are None.

    Args:
        ids: of tensor environments; by default MiniGrid's Memory family and one id of each other.
        copies: that the tensor environment steps at once.
        seconds: of one turn.
        windows: turns of each.
        device: of the tensor environment.

    Raises:
        ValueError: an id has no tensor environment.
    """
    return {id: _compare(id, copies, seconds, windows, torch.device(device)) for id in ids}


def _compare(
    id: str, copies: int, seconds: float, windows: int, device: torch.device
) -> dict[str, Any]:
    keep_freed_memory()  # as training does
    players = [_tensor_steps(id, copies, device)]
    if id.startswith("MiniGrid-"):
        players.append(_package_steps(id))
    rates = [[_rate(play, seconds) for play in players] for _ in range(windows)]
    own, *package = (statistics.median(column) for column in zip(*rates, strict=True))
    return {
        "env_steps_per_s": own,
        "package_env_steps_per_s": package[0] if package else None,
        "speedup": own / package[0] if package else None,
        "copies": copies,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "windows": windows,
    }


def _rate(play: Callable[[], int], seconds: float) -> float:
    """Env steps per second of ``play``, which plays a few steps and returns how many."""
    play()  # warms up
    played, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        played += play()
    return played / elapsed


def _tensor_steps(id: str, copies: int, device: torch.device) -> Callable[[], int]:
    if not any(id in family.ids for family in TENSOR_FAMILIES.values()):
        raise ValueError(f"{id!r} is no tensor environment; `memrl envs` lists them")
    env = make(id, copies, device, seed=0)
    num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
    generator = torch.Generator(device).manual_seed(0)

    def play(steps: int = 16) -> int:
        actions = torch.randint(num_actions, (steps, copies), generator=generator, device=device)
        for action in actions.unbind():
            env.step(action)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return steps * copies

    return play


def _package_steps(id: str) -> Callable[[], int]:
    import minigrid  # noqa: F401  (registers its ids)

    env = gymnasium.make(gymnasium.registry[id], disable_env_checker=True)
    env.action_space.seed(0)
    env.reset(seed=0)

    def play(steps: int = 64) -> int:
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        return steps

    return play
