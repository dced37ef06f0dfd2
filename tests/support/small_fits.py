"""A fit of a second: a config, and the rows it leaves."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from memrl.tracking.metrics_file import is_time

TINY = ["learner.batch=3", "learner.batches=2", "threads=1", "evaluate.sequences=5", "track=off"]
SMALL = [*TINY, "memory=gru", "memory.hidden_dim=7", "task.max_length=3", "evaluate.lengths=[2,5]"]
QUICK = [*SMALL, "run.pictures=false"]


def rows(run: Path) -> list[dict[str, str]]:
    """metrics.csv without the columns that measure the clock."""
    with (run / "metrics.csv").open() as file:
        table = [
            {name: cell for name, cell in row.items() if not is_time(name)}
            for row in csv.DictReader(file)
        ]
    assert table
    return table


# What a task has no default for.
NEEDED = {"babi": [f"task.folder={Path(__file__).parents[1] / 'tasks' / 'babi'}"]}


def needed(task: str) -> list[str]:
    """What a task has no default for; a test of one whose package is not installed is skipped."""
    if task == "fewshot":
        pytest.importorskip("sklearn", reason="pip install scikit-learn")
    return NEEDED.get(task, [])
