"""What MemoryPPO learns beside PPO, RecurrentPPO and MaskablePPO at equal options."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from memrl.bench.parity_picture import draw_courses
from memrl.bench.parity_tasks import RECURRENT, TASKS, peer_of
from memrl.bench.run_file import RunKey, interval, read_runs, write_runs
from memrl.config.models import Count
from memrl.errors import install_command, nearest
from memrl.memory import registry
from memrl.run.machine import usable_cores


def bench_parity(
    file: str,
    tasks: str = ",".join(TASKS),
    memories: str = "none,lstm,gru",
    seeds: Count = 5,
    episodes: Count = 100,
    workers: Count | None = None,
    runs: Annotated[int, Ge(0)] | None = None,
    picture: str | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Mean returns after equal env steps, with sampled actions, at the same options.

    Each memory runs beside its peer: ``none`` beside PPO, others beside RecurrentPPO, and all
    beside MaskablePPO where actions are masked. The peers have their default networks and
    MemoryPPO has its own (``MlpPolicy``). Every run is a process with one thread.

    Args:
        file: JSON lines, one per run; runs in the file are not repeated.
        tasks: names of `memrl.bench.parity_tasks.TASKS`, separated by commas.
        memories: of MemoryPPO, separated by commas; ``MlpLstmPolicy``: RecurrentPPO's networks.
        seeds: 0 … seeds - 1.
        episodes: of an evaluation.
        workers: runs at once; None: one for each core.
        runs: at most so many new ones; 0 shows what the file holds; None: all.
        picture: a file for KL, clip fraction and gradient norms of all iterations.
        say: receives a line for every finished run.

    Returns:
        By task and memory: ``peer``, ``env_steps``, for both sides (``ours``, ``theirs``)
        ``seeds``, ``mean``, ``low``, ``high`` (95 % interval over seeds, Student's t; None for one
        seed, ``mean`` also for none) and ``seconds``; and ``behind``: whether our interval lies
        below the peer's. A run that fails is told and left out; the others go on.

    Raises:
        ValueError: a task or a memory is unknown, sb3-contrib is not installed, or a picture is
            asked for and the file has runs of an older version.
    """
    pairs = _pairs(tasks.split(","), memories.split(","))
    learners = {(task, name) for task, memory, peer in pairs for name in (memory, peer)}
    keys = [RunKey(*pair, seed) for seed in range(seeds) for pair in sorted(learners)]
    path = Path(file)
    done = read_runs(path)
    todo = [key for key in keys if key not in done]
    old = [key for key in keys if "course" not in done.get(key, {"course": None})]
    if picture is not None and old:
        raise ValueError(
            f"{file} has {len(old)} runs without a course, of an older version; the picture needs "
            "it: take another file, or no picture"
        )
    _make(todo[:runs], done, path, episodes, workers or usable_cores(), say)
    made = [key for key in keys if key in done]
    if picture is not None and made:
        draw_courses({key: done[key] for key in made}, Path(picture))
    return {
        f"{task} {memory}": _row(task, memory, peer, made, done) for task, memory, peer in pairs
    }


def _make(
    todo: list[RunKey],
    done: dict[RunKey, dict[str, Any]],
    path: Path,
    episodes: int,
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Add the rows of ``todo`` to ``done`` and to the file; tell each run that ends or fails."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            started = {pool.submit(_run, key, episodes): key for key in todo}
            for run in as_completed(started):
                key = started[run]
                named = f"{key.task} {key.learner} seed {key.seed}"
                if failure := run.exception():
                    say(f"{named} failed: {failure}")
                    continue
                done[key] = row = run.result()
                write_runs(path, done)
                say(f"{named}: {row['return']:.4g} after {row['seconds']:.0f} s")
        finally:
            pool.shutdown(cancel_futures=True)


def _pairs(tasks: list[str], memories: list[str]) -> list[tuple[str, str, str]]:
    """Task, memory and peer of every row."""
    for task in tasks:
        if task not in TASKS:
            raise ValueError(
                f"unknown task {task!r}{nearest(task, TASKS)} (known: {', '.join(TASKS)})"
            )
    for memory in memories:
        if memory != RECURRENT:
            registry.core_class(memory)  # checked before hours of other runs
    if importlib.util.find_spec("sb3_contrib") is None:
        raise ValueError(f"sb3-contrib is not installed: {install_command('peer')}")
    return [(task, memory, peer_of(TASKS[task], memory)) for task in tasks for memory in memories]


def _run(key: RunKey, episodes: int) -> dict[str, Any]:
    words = json.dumps({**key._asdict(), "episodes": episodes})
    command = [sys.executable, "-m", "memrl.bench.parity_run", words]
    env = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise RuntimeError("".join(last))
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _row(
    task: str,
    memory: str,
    peer: str,
    keys: list[RunKey],
    done: Mapping[RunKey, Mapping[str, Any]],
) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "memory": memory, "peer": peer}
    row["env_steps"] = TASKS[task].total_steps
    for side, learner in (("ours", memory), ("theirs", peer)):
        row[side] = _side([done[key] for key in keys if key[:2] == (task, learner)])
    ours, theirs = row["ours"]["high"], row["theirs"]["low"]
    return {**row, "behind": ours is not None and theirs is not None and ours < theirs}


def _side(runs: list[Mapping[str, Any]]) -> dict[str, float | None]:
    if not runs:
        return {"seeds": 0, "mean": None, "low": None, "high": None, "seconds": None}
    seconds = sum(run["seconds"] for run in runs) / len(runs)
    reached = interval([run["return"] for run in runs])
    return {"seeds": len(runs), **reached, "seconds": seconds}
