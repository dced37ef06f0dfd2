"""One recipe for all runs of a task: a run that was made by another one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from memrl.benchmark.plan import Cell, Plan, Size, cells, composed
from memrl.errors import RunError
from memrl.run.directory import RunDirectory

# Groups of a config that decide what a run reaches, beside its memory.
RECIPE: Final = ("total_steps", "evaluate", "env", "policy", "agent")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a benchmark has hundreds of runs
Key = tuple[str, str, Size]  # task, memory, size: a row of the table
Widths = Mapping[Key, int | None]  # of the memory in a matched policy; None: none matches


def made_with(run: RunDirectory) -> dict[str, Any]:
    """The config of a run by dotted key, as it was written.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return by_dotted_key(yaml.load(run.config.read_bytes(), _LOADER))
    except (AttributeError, yaml.YAMLError) as error:
        raise RunError(f"{run.config} is damaged: {' '.join(str(error).split())}") from None


def by_dotted_key(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"agent.lr": 0.001}`` for ``{"agent": {"lr": 0.001}}``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping)
        flat |= by_dotted_key(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def refuse_mixtures(plan: Plan, root: Path, widths: Widths) -> None:
    """Hold all runs that were begun against the plan.

    A key that only one of both has is of another version of memrl, and says nothing.

    Args:
        plan: with the recipes that were chosen.
        root: of the runs.
        widths: that runs which are made now will have.

    Raises:
        RunError: a run has another recipe than the plan, or its memory other options than that of
            another seed.
    """
    memories: dict[Key, dict[str, Any]] = {}
    for cell in cells(plan):
        run = RunDirectory(cell.path(root))
        if not run.config.exists():
            continue
        made = made_with(run)
        memory = {key: value for key, value in made.items() if key.startswith("memory.")}
        wanted = _recipe(plan, cell) | memories.setdefault(cell[:3], memory)
        if (width := widths.get(cell[:3])) is not None:
            wanted["memory.hidden_dim"] = width
        for key in wanted:
            if key in made and made[key] != wanted[key]:
                raise RunError(
                    f"{run} was made with {key}={made[key]}, and {plan.name} asks for "
                    f"{wanted[key]}: a table has one recipe a task, so choose another root= or "
                    "remove that folder"
                )


def _recipe(plan: Plan, cell: Cell) -> dict[str, Any]:
    config = composed((*plan.words, *plan.tasks[cell.task].words))
    return by_dotted_key(config.model_dump(mode="json", include=set(RECIPE)))
