"""Runs that are done, one JSON line each, so that a comparison of hours can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from memrl.checkpoint.atomic import write_atomically
from memrl.evaluation.statistics import mean


class RunKey(NamedTuple):
    """A run: one learner on one task with one seed."""

    task: str
    learner: str
    seed: int


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """``mean``, ``low`` and ``high`` over seeds (95 %, Student's t); one seed has no interval."""
    estimate = mean(values)
    low, high = (estimate.low, estimate.high) if len(values) > 1 else (None, None)
    return {"mean": estimate.mean, "low": low, "high": high}


def read_runs(path: Path) -> dict[RunKey, dict[str, Any]]:
    """The runs in a file; none if there is no file."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {RunKey(row["task"], row["learner"], row["seed"]): row for row in rows}


def write_runs(path: Path, done: Mapping[RunKey, Mapping[str, Any]]) -> None:
    """Replace the file; ``done`` holds its runs too.

    Raises:
        RunError: the disk is full.
    """
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in done.values()).encode())
