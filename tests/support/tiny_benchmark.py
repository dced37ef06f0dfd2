"""A benchmark of two memories and two tasks whose runs write their files without any training."""

from __future__ import annotations

import json
from itertools import product
from threading import Lock

import pytest
from omegaconf import OmegaConf

from memrl.benchmark import runs
from memrl.benchmark.plan import Cell, composed, read_plan
from memrl.cli import benchmark
from memrl.run.directory import RunDirectory

TINY = """
memories: [none, gru]
seeds: [3, 5]
words: [+run=smoke, total_steps=256, evaluate.episodes=5, track=off]
tasks:
  short: {words: [env.delay=2]}
  long: {words: [env.delay=7], low: 0.2}
"""
SCORES = {
    ("short", "none"): [0.25, 0.27],
    ("short", "gru"): [1.0, 0.98],
    ("long", "none"): [0.2, 0.24],
    ("long", "gru"): [0.3, 0.9],
}
ONE = Lock()  # Hydra composes for one thread at a time
STEPS = (64, 128, 256)  # env steps of the rows of each metrics.csv


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The plan; its file is ``tiny.yaml`` in the present folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return read_plan("tiny.yaml")


def summaries(plan):
    """What both seeds of both memories reached."""
    return {
        Cell(task, memory, "default", seed): {
            "success": SCORES[task, memory][i],
            "parameters": 7,
            "state_bytes": 512,
            "bptt": 16,
            "env_steps": 256,
            "env_steps_per_s": 100.0 + i,
            "commit": {"sha": "0123456789abcdef", "dirty": False},
        }
        for (task, memory), (i, seed) in product(SCORES, enumerate(plan.seeds))
    }


@pytest.fixture
def no_processes(monkeypatch):
    """Runs write what a run leaves instead of training; ``failing`` cells do not. No pictures."""
    made, failing = [], set()

    def run(words, path):
        made.append((words, path))
        if path in failing:
            return "memrl: it diverged"
        told = dict(word.split("=", 1) for word in words)
        score = 0.2 if told["memory"] == "none" else 0.9
        leave(path, words, [score / 2, score, score])
        return None

    monkeypatch.setattr(runs, "_run", run)
    for name in ("draw_table", "draw_curves"):
        monkeypatch.setattr(benchmark, name, lambda *given: given[-1].touch())
    return made, failing


def leave(path, words, successes):
    """The files of a finished run of ``memrl train WORDS``, whose last success is its score."""
    own = ("memory", "seed", "run.dir")
    recipe = tuple(word for word in words if not word.startswith(own))
    told = dict(word.split("=", 1) for word in words)
    with ONE:
        config = composed(recipe).model_dump(mode="json")
    config["memory"] = {"name": told["memory"]}
    if "memory.hidden_dim" in told:
        config["memory"]["hidden_dim"] = int(told["memory.hidden_dim"])
    path.mkdir(parents=True)
    directory = RunDirectory(path)
    directory.config.write_text(OmegaConf.to_yaml(config))
    rows = zip(STEPS, successes, strict=True)
    lines = [f"{steps},10,{success},{success}" for steps, success in rows]
    head = "env_steps,episode/count,episode/success,episode/return"
    directory.metrics.write_text("\n".join([head, *lines, ""]))
    size = 50_000 if "memory.hidden_dim" in told else 7
    told = {"success": successes[-1], "parameters": size, "state_bytes": 512, "env_steps": 256}
    directory.summary.write_text(json.dumps({**told, "env_steps_per_s": 9.0}))
