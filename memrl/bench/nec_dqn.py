"""NEC and MFEC beside Stable-Baselines3's DQN after few env steps; results go to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from memrl.bench.nec_picture import draw_marks
from memrl.bench.run_file import RunKey, interval, read_runs, write_runs
from memrl.config.composition import compose
from memrl.config.models import Count
from memrl.errors import nearest
from memrl.evaluation.evaluate import evaluate
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.setup import prepare, seed_for

TASKS = "CartPole-v1,MiniGrid-Empty-5x5-v0,MiniGrid-DoorKey-5x5-v0"
LEARNERS = ("nec", "mfec", "dqn")
MARKS = (5_000, 20_000, 50_000)  # env steps
EPSILON = 0.05  # DQN's final ε by default; used for all learners
NUM_ENVS, STEPS = 10, 100  # of NEC and MFEC: an iteration is 1,000 env steps


def bench_nec_dqn(
    file: str,
    tasks: str = TASKS,
    learners: str = "nec,dqn",
    seeds: Count = 5,
    first_seed: int = 0,
    episodes: Count = 20,
    picture: str | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Returns after 5, 20 and 50 thousand env steps, for several seeds.

    NEC and MFEC use ten environments and their config files with a final ε of 0.05; DQN uses one
    environment and its library's defaults, which also end at ε = 0.05. Evaluations are ε-greedy
    with that ε. All runs use one thread, one after the other, with seeds as the outer loop.

    Args:
        file: JSON lines, one per run; runs in the file are not repeated.
        tasks: ids, separated by commas.
        learners: nec, mfec and dqn, separated by commas.
        seeds: runs of each learner on each task.
        first_seed: the first seed.
        episodes: in an evaluation.
        picture: path of a PNG to draw; None: no picture.
        say: receives a line for every finished run.

    Returns:
        By task and learner: ``seeds``, and for each number of env steps ``mean``, ``low`` and
        ``high`` (95 % interval over seeds, Student's t; None for one seed).

    Raises:
        ValueError: a learner or a task is unknown.
    """
    names = learners.split(",")
    for name in names:
        if name not in LEARNERS:
            known = ", ".join(LEARNERS)
            raise ValueError(f"unknown learner {name!r}{nearest(name, LEARNERS)} (known: {known})")
    path = Path(file)
    done = read_runs(path)
    for seed in range(first_seed, first_seed + seeds):
        for task in tasks.split(","):
            for learner in names:
                key = RunKey(task, learner, seed)
                if key not in done:
                    done[key] = _run(key, episodes)
                    write_runs(path, done)
                    say(f"{task} {learner} seed {seed}: {_describe(done[key])}")
    selected = {
        (task, learner): [done[key] for key in done if key[:2] == (task, learner)]
        for task in tasks.split(",")
        for learner in names
    }
    if picture is not None:
        returns = {
            key: {mark: [row["returns"][str(mark)] for row in rows] for mark in MARKS}
            for key, rows in selected.items()
        }
        draw_marks(returns, Path(picture))
    return {f"{task} {learner}": _row(rows) for (task, learner), rows in selected.items()}


def _run(key: RunKey, episodes: int) -> dict[str, Any]:
    """Make one run; returns its line of the file."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    if key.learner == "dqn":
        from memrl.bench.dqn import learn_dqn

        returns = learn_dqn(key.task, key.seed, MARKS, episodes=episodes, epsilon=EPSILON)
    else:
        returns = _learn_episodic(key, episodes)
    by_mark = {str(mark): value for mark, value in returns.items()}
    return {**key._asdict(), "returns": by_mark, "seconds": time.perf_counter() - begin}


def _learn_episodic(key: RunKey, episodes: int) -> dict[int, float]:
    overrides = [f"env={key.task}", f"env.num={NUM_ENVS}", f"agent={key.learner}", "threads=1"]
    overrides += [f"agent.steps={STEPS}", f"agent.epsilon={EPSILON}", f"seed={key.seed}"]
    config = compose(overrides)
    prepare(config)
    agent, test_env = make_agent(config, make_env(config)), make_env(config)
    returns = {}
    for mark in MARKS:
        agent.learn(mark, lambda metrics: None)
        seed = seed_for(config.seed, "evaluate")
        returns[mark] = evaluate(agent, test_env, episodes, seed, show_progress=False).return_.mean
    return returns


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(runs)}
    for mark in MARKS:
        row[str(mark)] = interval([run["returns"][str(mark)] for run in runs])
    return row


def _describe(row: Mapping[str, Any]) -> str:
    scores = ", ".join(f"{value:.3g}" for value in row["returns"].values())
    return f"{scores} after {row['seconds']:.0f} s"
