"""What a ``table.json`` holds, read back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from memrl.benchmark.plan import Plan
from memrl.benchmark.scores import Row, Total
from memrl.config.models import check
from memrl.errors import RunError
from memrl.evaluation.statistics import Estimate


class Told(NamedTuple):
    """A benchmark, its rows and its totals."""

    plan: Plan
    rows: list[Row]
    totals: list[Total]


def read_table(path: Path) -> Told:
    """The table of a file.

    Raises:
        RunError: there is no such file, or it is no table of this version.
    """
    try:
        told = json.loads(path.read_text())
        plan = check(told["benchmark"], Plan)
        rows = [_row(plan, row) for row in told["rows"]]
        return Told(plan, rows, [Total(**_opened(total)) for total in told["totals"]])
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is no table of this version: {error}") from None


def _row(plan: Plan, content: dict[str, Any]) -> Row:
    row = Row(**{**content, "score": Estimate(**_opened(content["score"]))})
    if row.task not in plan.tasks or not len(row.seeds) == len(row.scores) == len(row.speeds):
        raise ValueError(f"a row of {row.memory} on {row.task} has no task or not all of its seeds")
    return row


def _opened(interval: dict[str, Any]) -> dict[str, Any]:
    """Bounds and error of one seed, which JSON has as null."""
    free = {"low": -math.inf, "high": math.inf, "error": math.nan}
    return {key: free.get(key) if value is None else value for key, value in interval.items()}
