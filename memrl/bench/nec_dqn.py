"""What NEC learns in few env steps beside Stable-Baselines3's DQN; kept run by run in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from memrl.bench.nec_picture import draw_marks
from memrl.checkpoint.atomic import write_atomically
from memrl.config.composition import compose
from memrl.config.models import Count
from memrl.evaluation.evaluate import evaluate
from memrl.evaluation.statistics import mean
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.setup import prepare, seed_for
from memrl.registry import nearest

TASKS = "CartPole-v1,MiniGrid-Empty-5x5-v0,MiniGrid-DoorKey-5x5-v0"
LEARNERS = ("nec", "mfec", "dqn")
MARKS = (5_000, 20_000, 50_000)  # env steps
EPSILON = 0.05  # of DQN by default, at the end of exploration; of all learners here
COPIES, STEPS = 10, 100  # of ours: an iteration is 1,000 env steps


class Part(NamedTuple):
    """A run: one learner on one task with one seed."""

    task: str
    learner: str
    seed: int


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
    """Returns after 5, 20 and 50 thousand env steps, seed by seed.

    Ours play ten copies with the options of their files and ε = 0.05 at last, DQN one copy with the
    defaults of its library and its own ε of 0.05. Evaluations are ε-greedy with that ε. All run on
    one thread, one after the other, seeds outermost.

    Args:
        file: JSON lines, one a run; runs that are in it are not made again.
        tasks: ids, separated by commas.
        learners: nec, mfec and dqn, separated by commas.
        seeds: runs of each learner on each task.
        first_seed: the first of them.
        episodes: of an evaluation.
        picture: a PNG to draw, if any.
        say: told of every run that ends.

    Returns:
        By task and learner: ``seeds`` and by mark ``mean``, ``low``, ``high`` (95 % interval over
        seeds, Student's t; None for one seed).

    Raises:
        ValueError: an unknown learner or task.
    """
    named = learners.split(",")
    for name in named:
        if name not in LEARNERS:
            known = ", ".join(LEARNERS)
            raise ValueError(f"unknown learner {name!r}{nearest(name, LEARNERS)} (known: {known})")
    path = Path(file)
    done = _read(path)
    for seed in range(first_seed, first_seed + seeds):
        for task in tasks.split(","):
            for learner in named:
                part = Part(task, learner, seed)
                if part not in done:
                    done[part] = _run(part, episodes)
                    _write(path, done)
                    say(f"{task} {learner} seed {seed}: {_said(done[part])}")
    wanted = {
        (task, learner): [done[part] for part in done if part[:2] == (task, learner)]
        for task in tasks.split(",")
        for learner in named
    }
    if picture is not None:
        returns = {
            key: {mark: [row["returns"][str(mark)] for row in rows] for mark in MARKS}
            for key, rows in wanted.items()
        }
        draw_marks(returns, Path(picture))
    return {f"{task} {learner}": _row(rows) for (task, learner), rows in wanted.items()}


def _run(part: Part, episodes: int) -> dict[str, Any]:
    """One line of the file."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    if part.learner == "dqn":
        from memrl.bench.dqn import learn_dqn

        returns = learn_dqn(part.task, part.seed, MARKS, episodes=episodes, epsilon=EPSILON)
    else:
        returns = _learn_ours(part, episodes)
    by_mark = {str(mark): value for mark, value in returns.items()}
    return {**part._asdict(), "returns": by_mark, "seconds": time.perf_counter() - begin}


def _learn_ours(part: Part, episodes: int) -> dict[int, float]:
    words = [f"env={part.task}", f"env.num={COPIES}", f"agent={part.learner}", "threads=1"]
    words += [f"agent.steps={STEPS}", f"agent.epsilon={EPSILON}", f"seed={part.seed}"]
    config = compose(words)
    prepare(config)
    agent, stage = make_agent(config, make_env(config)), make_env(config)
    returns = {}
    for mark in MARKS:
        agent.learn(mark, lambda metrics: None)
        seed = seed_for(config.seed, "evaluate")
        returns[mark] = evaluate(agent, stage, episodes, seed, show_progress=False).return_.mean
    return returns


def _read(path: Path) -> dict[Part, dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {Part(row["task"], row["learner"], row["seed"]): row for row in rows}


def _write(path: Path, done: Mapping[Part, dict[str, Any]]) -> None:
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in done.values()).encode())


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(runs)}
    for mark in MARKS:
        over = mean([run["returns"][str(mark)] for run in runs])
        known = len(runs) > 1
        low, high = (over.low, over.high) if known else (None, None)
        row[str(mark)] = {"mean": over.mean, "low": low, "high": high}
    return row


def _said(row: Mapping[str, Any]) -> str:
    scores = ", ".join(f"{value:.3g}" for value in row["returns"].values())
    return f"{scores} after {row['seconds']:.0f} s"
