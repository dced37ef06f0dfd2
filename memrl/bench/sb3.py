"""MemoryPPO beside sb3-contrib's RecurrentPPO: same environments, same sizes, own processes."""

from __future__ import annotations

import statistics
from typing import Any, Literal

from memrl.bench.peer import Peer, Spec
from memrl.config.models import Count, check


def bench_sb3(
    env: str = "MiniGrid-MemoryS13-v0",
    source: Literal["tensor", "package"] = "tensor",
    memories: str = "lstm",
    hidden_dim: Count = 128,
    copies: Count = 16,
    n_steps: Count = 128,
    batch_size: Count = 128,
    n_epochs: Count = 4,
    bptt: Count | None = None,
    windows: Count = 16,
    steps: Count = 8192,
) -> dict[str, Any]:
    """Env steps per second of whole training; medians of alternating windows.

    RecurrentPPO pads episodes to the longest, so that its speed changes as it trains: sixteen
    windows are the first 131,000 env steps of each learner.

    Args:
        env: a MiniGrid task.
        source: ``tensor`` (this project's copies of the task) or ``package`` (MiniGrid's own), for
            all learners alike.
        memories: of MemoryPPO, separated by commas.
        hidden_dim: width of all memories.
        copies: environments side by side.
        n_steps: env steps per copy and rollout.
        batch_size: env steps per minibatch.
        n_epochs: passes over a rollout.
        bptt: env steps a gradient of MemoryPPO may travel back; its own default if None.
        windows: how often each learner has its turn, after one that warms up.
        steps: env steps per window, rounded up to whole rollouts.

    Returns:
        A row per learner: ``env_steps_per_s``, ``minibatch_ms`` (learning, per minibatch),
        ``rollout_bytes`` (all that a rollout keeps) and ``ratio`` (of speeds, over RecurrentPPO's).

    Raises:
        ValueError: sb3-contrib is missing, no MiniGrid task, or an unknown memory.
    """
    sizes: dict[str, Any] = {
        **{"env": env, "source": source, "copies": copies, "hidden_dim": hidden_dim},
        **{"n_steps": n_steps, "batch_size": batch_size, "n_epochs": n_epochs},
    }
    learners = {"RecurrentPPO": check(sizes, Spec)}
    for memory in memories.split(","):
        own = {**sizes, "learner": "MemoryPPO", "memory": memory, "bptt": bptt}
        learners[f"MemoryPPO {memory}"] = check(own, Spec)
    processes = {name: Peer(spec) for name, spec in learners.items()}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in processes}
    try:
        for turn in range(windows + 1):
            for name, process in processes.items():
                answer = process.ask(learn=steps)
                if turn:
                    answers[name].append(answer)
    finally:
        for process in processes.values():
            process.close()
    rows = {name: _row(given) for name, given in answers.items()}
    slow = rows["RecurrentPPO"]["env_steps_per_s"]
    return {name: {**row, "ratio": row["env_steps_per_s"] / slow} for name, row in rows.items()}


def _row(answers: list[dict[str, Any]]) -> dict[str, float]:
    per_minibatch = [a["train_seconds"] / a["minibatches"] for a in answers]
    return {
        "env_steps_per_s": statistics.median(a["env_steps"] / a["seconds"] for a in answers),
        "minibatch_ms": 1e3 * statistics.median(per_minibatch),
        "rollout_bytes": answers[-1]["rollout_bytes"],
    }
