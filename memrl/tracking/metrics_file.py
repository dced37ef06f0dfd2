"""metrics.csv: one row per iteration, exact numbers, cut back when a run is resumed."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from memrl.checkpoint.atomic import write_atomically
from memrl.errors import RunError, disk_errors_explained

STEPS: Final = "env_steps"  # single-environment transitions: what agents count
SECONDS: Final = "wall_seconds"  # spent training, all parts of a resumed run together

Row: TypeAlias = Mapping[str, int | float]  # one iteration, by column


def spoken(unit: str) -> str:
    """A unit of experience as a person writes it: ``env steps``."""
    return unit.replace("_", " ")


def is_time(column: str) -> bool:
    """Whether a column measures the clock: the only ones that differ between equal runs."""
    return column == SECONDS or column.startswith("time/")


@final
class MetricsFile:
    """Appends rows to a CSV file and knows how to cut it.

    Floats are written with all their digits. A name that first appears later becomes a new last
    column: the file is then written anew, and earlier rows are empty there.

    Args:
        path: of the file.
        unit: the column that counts experience, by which rows are cut.
    """

    def __init__(self, path: Path, *, unit: str = STEPS) -> None:
        self.path, self._unit = path, unit
        self._columns: list[str] = _read_rows(path)[0] if path.exists() else []

    def append(self, row: Row) -> None:
        """Add a row, in one write.

        Raises:
            RunError: the disk is full.
        """
        new = [name for name in row if name not in self._columns]
        if new:
            self._widen(new)
        with disk_errors_explained(self.path), self.path.open("a", newline="") as file:
            file.write(_line([_cell(row.get(name)) for name in self._columns]))

    def sync(self) -> None:
        """Have the rows on disk: a checkpoint must never be ahead of them."""
        if self.path.exists():
            with disk_errors_explained(self.path), self.path.open("rb") as file:
                os.fsync(file.fileno())

    def cut(self, experience: int) -> Path | None:
        """Keep the rows up to ``experience``; the others, and a torn last one, are set aside.

        Returns:
            The file ``metrics.cut-<n>.csv`` that now holds what was cut; None if nothing was.
        """
        if not self.path.exists():
            return None
        header, rows, torn = _read_rows(self.path)
        kept = [row for row in rows if int(row[header.index(self._unit)]) <= experience]
        if len(kept) == len(rows) and not torn:
            return None
        aside = _unused(self.path)
        rest = [row for row in rows if int(row[header.index(self._unit)]) > experience]
        text = "".join(_line(row) for row in ([header] if header else []) + rest) + torn
        write_atomically(aside, text.encode())
        if kept:
            write_atomically(self.path, "".join(map(_line, [header, *kept])).encode())
        else:
            self.path.unlink()
            self._columns = []
        return aside

    def _widen(self, new: list[str]) -> None:
        rows = _read_rows(self.path)[1] if self.path.exists() else []
        self._columns += new
        padded = [row + [""] * (len(self._columns) - len(row)) for row in rows]
        write_atomically(self.path, "".join(map(_line, [self._columns, *padded])).encode())


def read_metrics(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of a metrics.csv by name; empty cells are NaN.

    Raises:
        RunError: there is no such file, or it has no rows.
    """
    if not path.exists():
        raise RunError(f"{path} does not exist: the run has not finished an iteration yet")
    header, rows, _ = _read_rows(path)
    if not rows:
        raise RunError(f"{path} has no rows: the run has not finished an iteration yet")
    table = [[float(cell) if cell else math.nan for cell in row] for row in rows]
    return {
        name: np.array([row[i] for row in table], dtype=np.float64) for i, name in enumerate(header)
    }


def _read_rows(path: Path) -> tuple[list[str], list[list[str]], str]:
    """The header, the whole rows, and what a kill left of a last, torn line."""
    whole, newline, torn = path.read_text().rpartition("\n")
    lines = list(csv.reader(io.StringIO(whole + newline)))
    return (lines[0], lines[1:], torn) if lines else ([], [], torn)


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else repr(float(value))


def _unused(path: Path) -> Path:
    n = 1
    while (aside := path.with_name(f"{path.stem}.cut-{n}{path.suffix}")).exists():
        n += 1
    return aside
