"""What a sweep came to: a table of its jobs, and the command that compares their runs."""

from __future__ import annotations

import json
import shlex
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from memrl.checkpoint.atomic import write_atomically
from memrl.cli.error_text import one_sentence
from memrl.cli.output import NO_BREAK, table
from memrl.errors import RunError
from memrl.run.directory import runs_in
from memrl.run.summary import standard

_SHARES: Final = ("success", "accuracy")  # of summary.json; shown in percent
_MEASURES: Final = ("success", "return", "accuracy")


class Outcome(NamedTuple):
    """One job of a sweep: its run, or why there is none."""

    words: list[str]  # what set it apart
    path: Path | None
    summary: dict[str, Any] | None
    error: str | None  # one sentence
    trace: str = ""  # where the error was raised, for --debug

    @classmethod
    def of_error(cls, words: list[str], error: Exception) -> Outcome:
        """A job that failed."""
        return cls(
            words, None, None, one_sentence(error), "".join(traceback.format_exception(error))
        )

    @property
    def score(self) -> float | None:
        """What a search makes as large as it can: success, else return or accuracy."""
        found = [(self.summary or {}).get(name) for name in _MEASURES]
        return next((float(value) for value in found if value is not None), None)

    def as_dict(self) -> dict[str, Any]:
        """The job as plain values."""
        if self.error is not None:
            return {"job": self.words, "error": self.error}
        return {"job": self.words, "run": str(self.path), **(self.summary or {})}

    def write(self, folder: Path, number: int) -> None:
        """Keep this for the process that began the sweep: a job may run elsewhere.

        Raises:
            RunError: the disk is full.
        """
        plain = {**self._asdict(), "path": None if self.path is None else str(self.path)}
        write_atomically(folder / f"{number:06}.json", json.dumps(standard(plain)).encode())


def read_outcomes(folder: Path) -> list[Outcome]:
    """What was written to a folder, in the order of the jobs."""
    kept = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [
        Outcome(**{**plain, "path": None if plain["path"] is None else Path(plain["path"])})
        for plain in kept
    ]


def print_outcomes(outcomes: Sequence[Outcome], *, searched: bool, as_json: bool) -> None:
    """Print a row for each job and how to compare the runs, or all as one JSON value.

    ``searched``: the jobs were chosen for their score, of which the best is told.
    """
    if as_json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes]))
        return
    print(f"\n{outcomes_table(outcomes)}")
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    if searched and scored:
        best = max(scored, key=lambda outcome: outcome.score or 0.0)
        print(f"\nthe best      {shlex.join(best.words)}  ({best.path})")
    runs = [*dict.fromkeys(outcome.path for outcome in outcomes if outcome.path is not None)]
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
            end = f"failed: {outcome.error}"
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
        first = ", the first" if len(failed) > 1 else ""
        what = f"{' '.join(failed[0].words)}: {failed[0].error}"
        error = RunError(f"{len(failed)} of {len(outcomes)} jobs failed{first}: {what}")
        error.add_note(failed[0].trace)
        raise error


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if name in _SHARES else f"{value:.4g}"
