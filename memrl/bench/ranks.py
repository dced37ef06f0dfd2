"""Training by several processes beside one: env steps per second, and what waiting takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from memrl.config.models import Count
from memrl.errors import RunError
from memrl.tracking.metrics_file import read_metrics

_WARM: Final = 2  # iterations at the beginning that are left out
_SPEED, _WAITING = "time/env_steps_per_s", "time/waiting"
# A process group of one, as torchrun --nproc-per-node=1 makes it, on any free port.
_GROUP_OF_ONE: Final = {
    "RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",
}


def bench_ranks(
    env: str = "MiniGrid-MemoryS13-v0",
    memory: str = "gru",
    num: Count = 64,
    ranks: Count = 2,
    iterations: Count = 8,
    windows: Count = 3,
) -> dict[str, Any]:
    """Env steps per second of runs of PPO with one thread a process; medians of alternating runs.

    Every process has ``num`` environments (weak scaling). Each of the ``windows`` makes three runs
    of ``iterations``: of one process, of one in a process group of its own, and of ``ranks``.

    Returns:
        ``env_steps_per_s`` of one process, ``grouped_env_steps_per_s`` and
        ``ranks_env_steps_per_s``; ``ratio`` (that of the ranks over that of one process),
        ``overhead`` (the share of its speed that one process loses by the group), ``waiting`` (the
        share of time in which ranks wait and exchange gradients); and the settings.

    Raises:
        RunError: a run failed; the sentence is its own.
    """
    alone, grouped, many = [], [], []
    with TemporaryDirectory() as folder:
        for window in range(windows):
            words = [f"env={env}", f"memory={memory}", f"env.num={num}"]
            place = Path(folder) / str(window)
            alone.append(_measure(words, place / "alone", iterations, 1))
            grouped.append(_measure(words, place / "grouped", iterations, 1, _GROUP_OF_ONE))
            many.append(_measure(words, place / "ranks", iterations, ranks))
    one, in_group, all_ranks = (
        statistics.median(speed for speed, _ in runs) for runs in (alone, grouped, many)
    )
    return {
        "env_steps_per_s": one,
        "grouped_env_steps_per_s": in_group,
        "ranks_env_steps_per_s": all_ranks,
        "ratio": all_ranks / one,
        "overhead": 1 - in_group / one,
        "waiting": statistics.median(share for _, share in many),
        "env": env,
        "memory": memory,
        "num": num,
        "ranks": ranks,
    }


def _measure(
    words: list[str],
    run: Path,
    iterations: int,
    ranks: int,
    group: dict[str, str] | None = None,
) -> tuple[float, float]:
    """Env steps per second, and the share of waiting, of one run: medians over its iterations."""
    num = int(next(word for word in words if word.startswith("env.num=")).partition("=")[2])
    steps = 64
    length = (iterations + _WARM) * steps * num * ranks
    command = [sys.executable, "-m", "memrl", "train", *words, f"run.dir={run}", "threads=1"]
    command += [f"workers={ranks}", f"agent.steps={steps}", f"total_steps={length}"]
    command += ["run.pictures=false", "track=off", "evaluate.episodes=1", "evaluate.max_steps=1"]
    done = subprocess.run(
        command, env={**os.environ, **(group or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise RunError(done.stderr.strip().splitlines()[-1].removeprefix("memrl: "))
    columns = read_metrics(run / "metrics.csv")
    speed, share = (float(np.median(columns[name][_WARM:])) for name in (_SPEED, _WAITING))
    return speed, share
