"""What a sweep came to: a table of its jobs, and the command that compares their runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from memrl.cli.error_text import one_sentence
from memrl.cli.output import NO_BREAK, table
from memrl.errors import RunError
from memrl.run.directory import runs_in

_SHARES: Final = ("success", "accuracy")  # of summary.json; shown in percent
_MEASURES: Final = ("success", "return", "accuracy")


class Outcome(NamedTuple):
    """One job of a sweep: its run, or why there is none."""

    words: list[str]  # what set it apart
    path: Path | None
    summary: dict[str, Any] | None
    error: Exception | None

    def as_dict(self) -> dict[str, Any]:
        """The job as plain values."""
        if self.error is not None:
            return {"job": self.words, "error": one_sentence(self.error)}
        return {"job": self.words, "run": str(self.path), **(self.summary or {})}


def print_outcomes(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Print a row for each job and how to compare the runs, or all as one JSON value."""
    if as_json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes]))
        return
    print(f"\n{outcomes_table(outcomes)}")
    runs = [outcome.path for outcome in outcomes if outcome.path is not None]
    if len(runs) > 1:
        print(f"\ncompare them  {compare_command(runs)}")


def outcomes_table(outcomes: Sequence[Outcome], *, width: int | None = None) -> str:
    """A row for each job: what set it apart, how well its run does, its time, its directory.

    A job that failed has its sentence in the place of a directory.
    """
    summaries = [outcome.summary or {} for outcome in outcomes]
    measures = [name for name in _MEASURES if any(s.get(name) is not None for s in summaries)]
    headings = ["job", *measures, "time", "directory"]
    rows = []
    for outcome, summary in zip(outcomes, summaries, strict=True):
        cells = [_shown(name, summary.get(name)) for name in measures]
        seconds = f"{summary['wall_seconds']:,.0f} s" if summary else "–"
        end = str(outcome.path).replace(" ", NO_BREAK)
        if outcome.error is not None:
            end = f"failed: {one_sentence(outcome.error)}"
        rows.append([" ".join(outcome.words), *cells, seconds, end])
    return table(headings, rows, right=[*measures, "time"], width=width)


def compare_command(runs: Sequence[Path]) -> str:
    """The words that compare the runs: their folder, where it holds no others."""
    folders = {run.parent for run in runs}
    whole = len(folders) == 1 and {*runs_in(*folders)} == {*runs}
    return shlex.join(["memrl", "compare", *map(str, folders if whole else runs)])


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Nothing, unless jobs failed.

    Raises:
        RunError: how many, and what was wrong with the first.
    """
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        words, error = " ".join(failed[0].words), failed[0].error
        assert error is not None
        first = ", the first" if len(failed) > 1 else ""
        raise RunError(
            f"{len(failed)} of {len(outcomes)} jobs failed{first}: {words}: {one_sentence(error)}"
        ) from error


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if name in _SHARES else f"{value:.4g}"
