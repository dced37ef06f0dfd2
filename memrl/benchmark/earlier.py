"""A table that was written elsewhere counts as made: only what it lacks is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memrl.benchmark.plan import Cell, Plan
from memrl.benchmark.scores import Row
from memrl.benchmark.told import Told, read_table
from memrl.errors import RunError


def earlier_runs(plan: Plan, path: Path) -> dict[Cell, dict[str, Any]]:
    """The runs behind a ``table.json`` of this benchmark, as summaries.

    Raises:
        RunError: there is no such table, or it was made by another plan.
    """
    told = read_table(path)
    _refuse_another(plan, told, path)
    return {
        Cell(*row[:3], seed): _summary(plan, row, place)
        for row in told.rows
        for place, seed in enumerate(row.seeds)
        if row.memory in plan.memories and row.size in plan.sizes and seed in plan.seeds
    }


def _refuse_another(plan: Plan, told: Told, path: Path) -> None:
    """A table has one recipe a task, and one number of parameters."""
    theirs = told.plan
    differing = [
        key for key in ("name", "parameters", "words") if getattr(plan, key) != getattr(theirs, key)
    ]
    differing += [
        f"task {task}"
        for task in dict.fromkeys(row.task for row in told.rows)
        if task not in plan.tasks or _made_of(plan, task) != _made_of(theirs, task)
    ]
    if differing:
        raise RunError(
            f"{path} was made by another plan than {plan.name}: {', '.join(differing)} differ"
        )


def _made_of(plan: Plan, task: str) -> tuple[list[str], str]:
    """What the scores of a task depend on; its levels only scale them."""
    return plan.tasks[task].words, plan.tasks[task].score


def _summary(plan: Plan, row: Row, place: int) -> dict[str, Any]:
    """What the table needs of a run's summary."""
    return {
        plan.tasks[row.task].score: row.scores[place],
        "env_steps_per_s": row.speeds[place],
        "parameters": row.parameters,
        "state_bytes": row.state_bytes,
        "bptt": row.bptt,
        "env_steps": row.env_steps,
        "commits": row.commits,
    }
