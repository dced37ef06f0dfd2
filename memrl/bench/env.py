"""The speed of tensor environments beside the original package and EnvPool, in one run."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from memrl.bench.env_stepping import Player, envpool_player, package_player, tensor_player
from memrl.envs.make import TENSOR_FAMILIES
from memrl.envs.minigrid import MEMORY_IDS
from memrl.envs.minigrid.families import FAMILIES
from memrl.run.allocator import keep_freed_memory

# MiniGrid's Memory family and one task of each other family; POPGym's games at the Easy level.
IDS = (
    *MEMORY_IDS,
    *(ids[-1] for ids in FAMILIES.values()),
    *(id for id in TENSOR_FAMILIES["popgym"].ids if "Easy" in id),
)
OTHERS = ("package", "envpool")


def bench_env(
    num: str | int = 4096,
    seconds: float = 0.5,
    windows: int = 5,
    device: str = "cpu",
    *,
    id: str,
) -> dict[str, Any]:
    """Env steps per second under random actions, with autoreset.

    All take turns, so that other load on the machine affects all alike; results are medians over
    the turns. The package runs one environment. EnvPool runs the first number in ``num``, with
    as many threads as torch.

    Args:
        num: number of environments that the tensor environment steps at once; several numbers,
            separated by commas, are measured in turn.
        seconds: of one turn.
        windows: turns of each.
        device: of the tensor environment.
        id: of a tensor environment.

    Returns:
        ``env_steps_per_s`` by number of environments, ``package_env_steps_per_s`` and
        ``envpool_env_steps_per_s`` (None if they are not installed or lack the task), and the
        settings.

    Raises:
        ValueError: the id has no tensor environment, or a number is out of range.
    """
    sizes = numbers(str(num))
    if not seconds > 0 or windows < 1:
        raise ValueError(
            f"seconds is {seconds}, windows {windows}; allowed: more than 0 seconds, at "
            "least 1 window"
        )
    keep_freed_memory()  # as training does
    players: dict[str, Player | None] = {
        str(size): tensor_player(id, size, torch.device(device)) for size in sizes
    }
    players["package"] = package_player(id)
    players["envpool"] = envpool_player(id, sizes[0], torch.get_num_threads())
    rates = _medians({k: p for k, p in players.items() if p is not None}, seconds, windows)
    return {
        "env_steps_per_s": {size: rates[str(size)] for size in sizes},
        "package_env_steps_per_s": rates.get("package"),
        "envpool_env_steps_per_s": rates.get("envpool"),
        "device": device,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "windows": windows,
    }


def numbers(num: str) -> list[int]:
    """Numbers of environments, which commas separate.

    Raises:
        ValueError: one is no number from 1.
    """
    words = num.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"num is {num!r}; allowed: numbers from 1, separated by commas")
    return [int(word) for word in words]


def _medians(players: dict[str, Player], seconds: float, windows: int) -> dict[str, float]:
    turns = [{k: _rate(play, seconds) for k, play in players.items()} for _ in range(windows)]
    return {name: statistics.median(turn[name] for turn in turns) for name in players}


def _rate(play: Player, seconds: float) -> float:
    """Env steps per second, after a few warm-up steps."""
    play()
    steps, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        steps += play()
    return steps / elapsed
