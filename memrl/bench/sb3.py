"""The speed of MemoryPPO beside sb3-contrib's RecurrentPPO, with equal environments and sizes."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any, Literal

from memrl.bench.learner_process import LearnerProcess, LearnerSpec
from memrl.config.models import Count, check


def bench_sb3(
    env: str = "MiniGrid-MemoryS13-v0",
    source: Literal["tensor", "package"] = "tensor",
    memories: str = "lstm",
    hidden_dim: Count = 128,
    num: Count = 16,
    n_steps: Count = 128,
    batch_size: Count = 128,
    n_epochs: Count = 4,
    bptt: Count | None = None,
    windows: Count = 16,
    steps: Count = 8192,
) -> dict[str, Any]:
    """Env steps per second of training, acting included; medians of alternating windows.

    Each learner has its own process. RecurrentPPO pads episodes to the longest, so that its speed
    changes as it trains: sixteen windows are the first 131,000 env steps of each learner.

    Args:
        env: a MiniGrid task.
        source: ``tensor`` (memrl's environments) or ``package`` (MiniGrid's), for all learners.
        memories: of MemoryPPO, separated by commas.
        hidden_dim: width of all memories.
        num: number of environments.
        n_steps: env steps per environment and rollout.
        batch_size: env steps per minibatch.
        n_epochs: passes over a rollout.
        bptt: env steps a gradient of MemoryPPO may travel back; its own default if None.
        windows: turns of each learner, after a first turn that warms up.
        steps: env steps per window, rounded up to whole rollouts.

    Returns:
        A row per learner: ``env_steps_per_s``, ``minibatch_ms`` (learning, per minibatch),
        ``rollout_bytes`` (size of the rollout buffer) and ``ratio`` (speed over RecurrentPPO's).

    Raises:
        ValueError: sb3-contrib is not installed, ``env`` is not a MiniGrid task, or a memory is
            unknown.
    """
    sizes: dict[str, Any] = {
        **{"env": env, "source": source, "num": num, "hidden_dim": hidden_dim},
        **{"n_steps": n_steps, "batch_size": batch_size, "n_epochs": n_epochs},
    }
    learners = {"RecurrentPPO": check(sizes, LearnerSpec)}
    for memory in memories.split(","):
        own = {**sizes, "learner": "MemoryPPO", "memory": memory, "bptt": bptt}
        learners[f"MemoryPPO {memory}"] = check(own, LearnerSpec)
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in learners}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(LearnerProcess(spec)) for name, spec in learners.items()
        }
        for turn in range(windows + 1):
            for name, process in processes.items():
                answer = process.ask(learn=steps)
                if turn:
                    answers[name].append(answer)
    rows = {name: _row(turns) for name, turns in answers.items()}
    baseline = rows["RecurrentPPO"]["env_steps_per_s"]
    return {name: {**row, "ratio": row["env_steps_per_s"] / baseline} for name, row in rows.items()}


def _row(answers: list[dict[str, Any]]) -> dict[str, float]:
    per_minibatch = [a["train_seconds"] / a["minibatches"] for a in answers]
    return {
        "env_steps_per_s": statistics.median(a["env_steps"] / a["seconds"] for a in answers),
        "minibatch_ms": 1e3 * statistics.median(per_minibatch),
        "rollout_bytes": answers[-1]["rollout_bytes"],
    }
