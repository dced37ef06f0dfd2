"""How fast tensor environments step, beside the ``minigrid`` package in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import torch

from memrl.envs.minigrid import MEMORY_IDS, MemoryEnv


def bench_env(
    ids: Sequence[str] = MEMORY_IDS,
    copies: int = 4096,
    *,
    seconds: float = 1.0,
    windows: int = 5,
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, Any]]:
    """Env steps per second under random actions, episodes beginning anew where they end.

    The two implementations take turns, so that other load on the machine meets both; each result
    is the median over the turns. The package plays one copy, since its copies cost the same each.

    Args:
        ids: of the Memory family.
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
    ours, theirs = _tensor_steps(id, copies, device), _package_steps(id)
    rates = [(_rate(ours, seconds), _rate(theirs, seconds)) for _ in range(windows)]
    own, package = (statistics.median(column) for column in zip(*rates, strict=True))
    return {
        "env_steps_per_s": own,
        "package_env_steps_per_s": package,
        "speedup": own / package,
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
    env = MemoryEnv(id, copies, device=device)
    env.reset(seed=0)
    generator = torch.Generator(device).manual_seed(0)

    def play(steps: int = 16) -> int:
        actions = torch.randint(7, (steps, copies), generator=generator, device=device)
        for action in actions.unbind():
            env.step(action)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return steps * copies

    return play


def _package_steps(id: str) -> Callable[[], int]:
    import minigrid  # noqa: F401  (registers its ids)

    env = gymnasium.make(id, disable_env_checker=True)
    env.action_space.seed(0)
    env.reset(seed=0)

    def play(steps: int = 64) -> int:
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        return steps

    return play
