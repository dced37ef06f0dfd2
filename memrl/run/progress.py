"""The display of training progress: a bar, plain lines without a terminal, or nothing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, Protocol, TypeAlias, final, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from memrl.tracking.metrics_file import STEPS, Row, unit_as_text

Style: TypeAlias = Literal["auto", "bar", "lines", "quiet"]
_LINE_SECONDS: Final = 10.0
_SHOWN: Final = {  # metric -> label; a metric that a row lacks is left out
    "train/accuracy": "accuracy",
    "train/length": "length",
    "episode/success": "success",
    "episode/cue_seen": "cue seen",
    "episode/return": "return",
    "episode/last_return": "last return",
    "train/entropy": "entropy",
}


_PERCENT: Final = {"success": ".0%", "cue seen": ".0%", "accuracy": ".2%"}


@runtime_checkable
class Progress(Protocol):
    """Receives every row of metrics."""

    def update(self, row: Row) -> None:
        """Show the progress; ``row`` is the one written to metrics.csv."""

    def say(self, sentence: str) -> None:
        """Print a sentence without disturbing the display."""


@contextmanager
def progress_bar(
    total: int, start: int = 0, style: Style = "auto", unit: str = STEPS
) -> Iterator[Progress]:
    """A progress display on stderr.

    Args:
        total: experience at which training ends.
        start: experience at which this process starts; the rate is measured from there.
        style: ``bar``, ``lines`` (one about every 10 s), ``quiet``, or ``auto``: a bar on a
            terminal, else lines.
        unit: the column that counts experience.
    """
    console = Console(stderr=True)
    if style == "auto":
        style = "bar" if console.is_terminal else "lines"
    if style == "quiet":
        yield SilentProgress()
    elif style == "lines":
        yield LineProgress(total, start, _to_stderr, unit=unit)
    else:
        columns = (
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %  {task.description}"),
            TimeRemainingColumn(compact=True),
        )
        with RichProgress(*columns, console=console, transient=False) as bar:
            yield BarProgress(bar, total, start, unit)


@final
class SilentProgress:
    """Shows nothing; sentences are still written, to stderr unless ``write`` takes them."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or _to_stderr

    def update(self, row: Row) -> None:
        pass

    def say(self, sentence: str) -> None:
        self._write(sentence)


@final
class LineProgress:
    """A plain line about every ten seconds, and one at the end.

    Args:
        total: experience at which training ends.
        start: experience at which this process starts.
        write: receives each line.
        clock: seconds, monotonic.
        unit: the column that counts experience.
    """

    def __init__(
        self,
        total: int,
        start: int,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        unit: str = STEPS,
    ) -> None:
        self._total, self._start, self._unit = total, start, unit
        self._write, self._clock = write, clock
        self._began = self._shown_at = clock()

    def update(self, row: Row) -> None:
        now, seen = self._clock(), int(row[self._unit])
        if now - self._shown_at < _LINE_SECONDS and seen < self._total:
            return
        self._shown_at = now
        rate = (seen - self._start) / (now - self._began) if now > self._began else math.nan
        left = max(self._total - seen, 0) / rate if rate > 0 else math.nan
        self._write(f"{describe(row, rate, self._total, self._unit)}  {_duration(left)} left")

    def say(self, sentence: str) -> None:
        self._write(sentence)


@final
class BarProgress:
    """A bar of ``rich``."""

    def __init__(self, bar: RichProgress, total: int, start: int, unit: str = STEPS) -> None:
        self._bar, self._total, self._start, self._unit = bar, total, start, unit
        self._task = bar.add_task("starting", total=total, completed=start)
        self._began = time.monotonic()
        self._latest: dict[str, int | float] = {}

    def update(self, row: Row) -> None:
        # An iteration in which no episode ended has no success: the last value stays on screen.
        self._latest |= {name: value for name, value in row.items() if not math.isnan(value)}
        seconds = time.monotonic() - self._began
        rate = (int(row[self._unit]) - self._start) / seconds if seconds > 0 else math.nan
        text = describe(self._latest, rate, self._total, self._unit)
        self._bar.update(self._task, completed=int(row[self._unit]), description=text)

    def say(self, sentence: str) -> None:
        self._bar.console.print(sentence, markup=False, highlight=False)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def describe(row: Row, rate: float, total: int, unit: str = STEPS) -> str:
    """One line of progress: experience, rate and the main metrics."""
    parts = [f"{int(row[unit]):,} of {total:,} {unit_as_text(unit)}"]
    if not math.isnan(rate):
        parts.append(f"{rate:,.0f} {unit_as_text(unit).removeprefix('env ')}/s")
    has_success = not math.isnan(row.get("episode/success", math.nan))
    for name, label in _SHOWN.items():
        if name in row and not math.isnan(row[name]) and not (label == "return" and has_success):
            is_share = label in _PERCENT and 0 <= row[name] <= 1
            value = f"{row[name]:{_PERCENT[label] if is_share else '.3g'}}"
            parts.append(f"{label} {value}")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
