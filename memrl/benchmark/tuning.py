"""The grid of a benchmark: trials with seeds of their own, and one recipe a task for all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from memrl.benchmark.plan import CONTROLS, Plan
from memrl.benchmark.scores import Row, normalised
from memrl.checkpoint.atomic import write_atomically
from memrl.errors import RunError

FILE = "recipes.json"  # in the root of a benchmark
Recipes = Mapping[str, Mapping[str, Any]]  # by task: words, score, and all that was tried


def candidates(plan: Plan, task: str) -> list[list[str]]:
    """The words of every point of a task's grid; none if it has no grid."""
    grid = plan.grid_of(task)
    if not grid:
        return []
    return [
        [f"{key}={_as_word(value)}" for key, value in zip(grid, values, strict=True)]
        for values in product(*grid.values())
    ]


def trials(plan: Plan) -> Plan:
    """The plan of all that is tried: a task for each point of each grid.

    Controls have no say in a recipe, so that they are not run; a memory is tried at the plan's
    first size.
    """
    tasks = {
        _trial(task, words): plan.tasks[task].model_copy(
            update={"words": [*plan.tasks[task].words, *words], "grid": None}
        )
        for task in plan.tasks
        for words in candidates(plan, task)
    }
    memories = [memory for memory in plan.memories if memory not in CONTROLS]
    update = {"memories": memories, "seeds": plan.tune_seeds, "sizes": plan.sizes[:1]}
    return plan.model_copy(update={**update, "tasks": tasks, "grid": None, "tune_seeds": []})


def choose(plan: Plan, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The best recipe of each task of which every trial is finished.

    A recipe's score is the mean over memories of their mean normalised scores over seeds.

    Args:
        plan: with its grid.
        rows: of its `trials`.
    """
    trial = trials(plan)
    whole = {(row.task, row.memory) for row in rows if len(row.scores) == len(plan.tune_seeds)}
    recipes = {}
    for task in plan.tasks:
        tried: list[dict[str, Any]] = []
        for words in candidates(plan, task):
            name = _trial(task, words)
            if not all((name, memory) in whole for memory in trial.memories):
                break
            found = {
                row.memory: float(normalised(plan.tasks[task], row.scores).mean())
                for row in rows
                if row.task == name
            }
            score = float(np.mean(list(found.values())))
            tried.append({"words": words, "score": score, "memories": found})
        else:
            if tried:
                best = max(tried, key=lambda one: one["score"])
                recipes[task] = {"words": best["words"], "score": best["score"], "tried": tried}
    return recipes


def read_recipes(root: Path) -> Recipes:
    """What was chosen before; empty if nothing was.

    Raises:
        RunError: the file is damaged.
    """
    path = root / FILE
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_text())
        return {task: {**recipe, "words": list(recipe["words"])} for task, recipe in told.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from None


def write_recipes(root: Path, recipes: Recipes) -> None:
    """Write ``recipes.json``; recipes of tasks that were not tuned anew are kept.

    Raises:
        RunError: the disk is full, or the file that is there is damaged.
    """
    told = {**read_recipes(root), **recipes}
    write_atomically(root / FILE, f"{json.dumps(told, indent=1)}\n".encode())


def with_recipes(plan: Plan, root: Path) -> Plan:
    """The plan with the words of the recipes that were chosen.

    Raises:
        RunError: a recipe is not in its task's grid.
    """
    tasks = dict(plan.tasks)
    for task, recipe in read_recipes(root).items():
        if not (allowed := candidates(plan, task) if task in tasks else []):
            continue
        if recipe["words"] not in allowed:
            raise RunError(
                f"{root / FILE} has {' '.join(recipe['words'])} for {task}, which is not in its "
                f"grid: memrl benchmark {plan.called} --tune chooses again"
            )
        words = [*tasks[task].words, *recipe["words"]]
        tasks[task] = tasks[task].model_copy(update={"words": words})
    return plan.model_copy(update={"tasks": tasks})


def untuned(plan: Plan, root: Path) -> list[str]:
    """The tasks whose grid has not chosen yet."""
    return [task for task in plan.tasks if plan.grid_of(task) and task not in read_recipes(root)]


def _trial(task: str, words: Sequence[str]) -> str:
    """The name of a trial, which is a folder's: ``recall/agent.lr-0.001_policy.skip-true``."""
    return f"{task}/{re.sub('[^A-Za-z0-9_.+-]', '-', '_'.join(words))}"


def _as_word(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
