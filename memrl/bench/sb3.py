"""MemoryPPO beside sb3-contrib's RecurrentPPO: same environments, same sizes, own processes."""

from __future__ import annotations

import statistics
from typing import Any

from memrl.bench.peer import Peer, Spec


def bench_sb3(
    env: str = "MiniGrid-MemoryS13-v0",
    source: str = "tensor",
    memories: str = "lstm",
    hidden_dim: int = 128,
    copies: int = 16,
    n_steps: int = 128,
    batch_size: int = 128,
    n_epochs: int = 4,
    bptt: int | None = None,
    windows: int = 16,
    steps: int = 8192,
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
        steps: env steps per window.

    Returns:
        A row per learner: ``env_steps_per_s``, ``minibatch_ms`` (learning, per minibatch),
        ``rollout_bytes`` (all that a rollout keeps) and ``ratio`` (of speeds, over RecurrentPPO's).

    Raises:
        ValueError: sb3-contrib is missing, or no MiniGrid task.
    """
    sizes: dict[str, Any] = {
        **{"env": env, "source": source, "copies": copies, "hidden_dim": hidden_dim},
        **{"n_steps": n_steps, "batch_size": batch_size, "n_epochs": n_epochs},
    }
    learners = {"RecurrentPPO": Spec(**sizes)}
    for memory in memories.split(","):
        learners[f"MemoryPPO {memory}"] = Spec(
            learner="MemoryPPO", memory=memory, bptt=bptt, **sizes
        )
    processes = {name: Peer(spec) for name, spec in learners.items()}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in processes}
    for turn in range(windows + 1):
        for name, process in processes.items():
            answer = process.ask(learn=steps)
            if turn:
                answers[name].append(answer)
    for process in processes.values():
        process.close()
    rows = {name: _row(given, steps) for name, given in answers.items()}
    slow = rows["RecurrentPPO"]["env_steps_per_s"]
    return {name: {**row, "ratio": row["env_steps_per_s"] / slow} for name, row in rows.items()}


def _row(answers: list[dict[str, Any]], steps: int) -> dict[str, float]:
    per_minibatch = [a["train_seconds"] / a["minibatches"] for a in answers]
    return {
        "env_steps_per_s": steps / statistics.median(a["seconds"] for a in answers),
        "minibatch_ms": 1e3 * statistics.median(per_minibatch),
        "rollout_bytes": answers[-1]["rollout_bytes"],
    }
