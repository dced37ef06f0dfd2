"""metrics.csv: one row per iteration, with exact numbers, truncated when a run is resumed."""

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

STEPS: Final = "env_steps"  # the unit of agents: single-environment transitions
SECONDS: Final = "wall_seconds"  # of training, over all parts of a resumed run

Row: TypeAlias = Mapping[str, int | float]  # one iteration, by column


def unit_as_text(unit: str) -> str:
    """A unit of experience as text: ``env steps``."""
    return unit.replace("_", " ")


def is_time(column: str) -> bool:
    """Whether a column measures time; only these columns differ between equal runs."""
    return column == SECONDS or column.startswith("time/")


@final
class MetricsFile:
    """Appends rows to a CSV file and truncates it.

    Floats are written with all digits. A name that first appears later becomes a new last column:
    the file is rewritten, and earlier rows are empty in that column.

    Args:
        path: of the file.
        unit: the column that counts experience; ``cut`` compares it.
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
        """Sync the rows to disk, so that a checkpoint is never ahead of them."""
        if self.path.exists():
            with disk_errors_explained(self.path), self.path.open("rb") as file:
                os.fsync(file.fileno())

    def cut(self, experience: int) -> Path | None:
        """Keep the rows up to ``experience``; move later rows and an incomplete last line away.

        Returns:
            The file ``metrics.cut-<n>.csv`` with the removed rows; None if nothing was removed.
        """
        if not self.path.exists():
            return None
        header, rows, torn = _read_rows(self.path)
        kept = [row for row in rows if int(row[header.index(self._unit)]) <= experience]
        if len(kept) == len(rows) and not torn:
            return None
        removed = _unused(self.path)
        rest = [row for row in rows if int(row[header.index(self._unit)]) > experience]
        text = "".join(_line(row) for row in ([header] if header else []) + rest) + torn
        write_atomically(removed, text.encode())
        if kept:
            write_atomically(self.path, "".join(map(_line, [header, *kept])).encode())
        else:
            self.path.unlink()
            self._columns = []
        return removed

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
    """The header, the complete rows, and the text of an incomplete last line."""
    complete, newline, torn = path.read_text().rpartition("\n")
    lines = list(csv.reader(io.StringIO(complete + newline)))
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
    while (unused := path.with_name(f"{path.stem}.cut-{n}{path.suffix}")).exists():
        n += 1
    return unused
