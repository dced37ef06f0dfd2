"""Returns of MemoryPPO and RecurrentPPO on CartPole without velocities, for several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from memrl.bench.learner_process import POSITION_ONLY, LearnerProcess, LearnerSpec
from memrl.bench.run_file import interval
from memrl.config.models import Count, check


def bench_cartpole(
    learners: str = "RecurrentPPO,lstm,dnc,none",
    seeds: Count = 5,
    total_steps: Count = 300_000,
    episodes: Count = 100,
    hidden_dim: Count = 64,
    bptt: Count = 16,
    threads: Count = 1,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Mean returns of the final policies over ``episodes``, with the most probable actions.

    8 environments × 128 steps, minibatches of 512, learning rate 1e-3, and otherwise the defaults
    that MemoryPPO and RecurrentPPO share: 10 epochs, γ 0.99, λ 0.95, clip 0.2, no entropy bonus.
    RecurrentPPO has its default network (the critic has its own LSTM). The optimum is 500.

    Args:
        learners: ``RecurrentPPO`` or memories of MemoryPPO, separated by commas.
        seeds: 0 … seeds - 1, one run each.
        total_steps: env steps of a run.
        episodes: in an evaluation.
        hidden_dim: width of all memories.
        bptt: env steps a gradient of MemoryPPO may travel back.
        threads: of torch.
        say: receives a line for every finished run.

    Returns:
        A row per learner: ``returns`` (one per seed), ``mean``, ``low`` and ``high`` (95 % interval
        of the mean, Student's t over seeds; None for one seed) and ``seconds`` of training, the
        median of the runs.

    Raises:
        ValueError: sb3-contrib is not installed, or a memory is unknown.
    """
    sizes = {"hidden_dim": hidden_dim, "bptt": bptt, "threads": threads}
    specs = {learner: _spec(learner, **sizes) for learner in learners.split(",")}
    rows = {}
    for learner, plan in specs.items():
        returns, seconds = [], []
        for seed in range(seeds):
            spec = plan.model_copy(update={"seed": seed})
            with LearnerProcess(spec) as process:
                seconds.append(process.ask(learn=total_steps)["seconds"])
                returns.append(statistics.fmean(process.ask(evaluate=episodes)["returns"]))
            say(f"{spec.name}, seed {seed}: {returns[-1]:.1f} after {seconds[-1]:.0f} s")
        median = statistics.median(seconds)
        rows[learner] = {"returns": returns, **interval(returns), "seconds": median}
    return rows


def _spec(learner: str, **sizes: int) -> LearnerSpec:
    own = {"learner": "MemoryPPO", "memory": learner}
    named = {"learner": learner, "one_memory": False} if learner == "RecurrentPPO" else own
    fixed = {"env": POSITION_ONLY, "num": 8, "batch_size": 512, "n_epochs": 10}
    return check({**named, **fixed, "learning_rate": 1e-3, **sizes}, LearnerSpec)
