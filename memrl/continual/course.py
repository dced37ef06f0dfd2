"""A continual course: learn each task, evaluate all tasks after each, go on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from jaxtyping import Float

from memrl.checkpoint.atomic import write_atomically
from memrl.checkpoint.file import differences
from memrl.config.models import Config
from memrl.continual.scores import Transfer, area, transfer
from memrl.continual.stages import Stage
from memrl.errors import RunError
from memrl.evaluation.learning_curve import read_curve
from memrl.pipeline.evaluating import evaluate_agent
from memrl.pipeline.loading import read_config
from memrl.pipeline.trained import open_run
from memrl.pipeline.training import train
from memrl.run.directory import RunDirectory
from memrl.run.summary import standard

Say: TypeAlias = Callable[[str], None]
Rows: TypeAlias = Sequence[Sequence[dict[str, Any]]]  # after each task, the scores on all tasks
SCORES: Final = "tasks.json"  # of a run: tasks, and success and return on each, after this one


def learn(stage: Stage, say: Say) -> None:
    """Train a stage, go on with it, or leave it if it is finished.

    Raises:
        RunError: what lies there was made with other words; or as ``memrl.train``.
        Interrupted: a signal arrived; a checkpoint was saved first.
    """
    directory = RunDirectory(stage.path)
    if not directory.config.exists():
        say(f"\n{stage.path}")
        train(stage.config, stage.path, say=say)
        return
    machine = {"device": stage.config.device, "threads": stage.config.threads}
    there = read_config(directory, **machine)
    if other := differences(_plain(there), _plain(stage.config)):
        raise RunError(
            f"{stage.path} was made with other words: {', '.join(other)}; choose another root"
        )
    if not directory.summary.exists():
        train(there, directory, say=say)


def learn_alone(stages: Sequence[Stage], rows: Rows, say: Say) -> Sequence[Stage] | None:
    """Learn each task alone; None where a task has no success, which forward transfer is of.

    ``rows`` are scores of these tasks, which tell.
    """
    if without := [score["env"] for score in rows[-1] if score["success"] is None]:
        say(f"alone=true trains nothing: forward transfer is of successes, {without[0]} has none")
        return None
    for stage in stages:
        learn(stage, say)
    return stages


def evaluate_all(
    stage: Stage, tasks: Sequence[Config], say: Say, kept: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Success and return on each task of the agent that a stage left; saved in its directory.

    ``kept`` are the scores of the first tasks, where these are known to stay as they were.
    """
    file, tasks = stage.path / SCORES, tasks[len(kept) :]
    asked = [config.env.model_dump(mode="json") for config in tasks]
    if file.exists() and (saved := json.loads(file.read_text()))["tasks"] == asked:
        return [*kept, *saved["scores"]]
    agent = open_run(stage.path, device=stage.config.device).agent
    rows = []
    for config in tasks:
        found = evaluate_agent(config, agent)
        success = None if found.success is None else found.success.mean
        rows.append({"env": config.env.id, "success": success, "return": found.return_.mean})
        say(f"after task {stage.number}: {config.env.id} return {found.return_.mean:.3g}"
            + ("" if success is None else f", success {success:.1%}"))  # fmt: skip
    write_atomically(
        file, json.dumps(standard({"tasks": asked, "scores": rows}), indent=2).encode()
    )
    return [*kept, *rows]


def matrix(rows: Rows) -> tuple[str, Float[np.ndarray, "N N"]]:
    """The measure that all tasks have, success before return, and its scores after each task."""
    known = all(row["success"] is not None for task in rows for row in task)
    measure = "success" if known else "return"
    return measure, np.array([[row[measure] for row in task] for task in rows], dtype=np.float64)


def conclude(rows: Rows, made: Sequence[Stage], alone: Sequence[Stage] | None) -> Transfer:
    """Forgetting and transfer; forward transfer needs successes, and runs ``alone``."""
    measure, scores = matrix(rows)
    if alone is None or measure != "success":
        return transfer(scores)
    return transfer(scores, [_area(s.path) for s in made], [_area(s.path) for s in alone])


def _area(path: Path) -> float:
    curve = read_curve(RunDirectory(path).metrics, "success")
    return area(curve.experience, curve.score)


def _plain(config: Config) -> dict[str, Any]:
    """What must agree: not where a run lies, or on which machine it was made."""
    return config.model_dump(mode="json", exclude={"run", "device", "threads", "track"})
