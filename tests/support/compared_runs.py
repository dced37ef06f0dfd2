"""Runs to compare, without any training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from memrl.evaluation.compare import ComparedRun
from memrl.evaluation.learning_curve import Curve

UNKNOWN = (-math.inf, math.inf)


def compared_run(
    memory, seed, score, *, last=900.0, task="Maze", measure="success", episodes=8, returns=UNKNOWN
):
    """A run whose score is the same from beginning to end; its return is twice its success."""
    experience = np.arange(100.0, last + 1, 100.0)
    flat = np.full(len(experience), score)
    scores = {measure: score, "return": 2 * score} if measure == "success" else {measure: score}
    return ComparedRun(
        path=Path(f"runs/{memory}-{seed}"),
        memory=memory,
        task=task,
        seed=seed,
        scores=scores,
        unit="sequences" if measure == "accuracy" else "env_steps",
        experience=int(last),
        experience_per_s=50.0,
        wall_seconds=last / 50,
        curve=Curve(experience, flat, flat, 1, measure, np.full(len(experience), 50.0)),
        episodes=episodes,
        returns=returns,
    )
