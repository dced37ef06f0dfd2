"""What a person sees while training: a bar, plain lines where there is no terminal, or nothing."""

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

from memrl.tracking.metrics_file import STEPS, Row, spoken

Style: TypeAlias = Literal["auto", "bar", "lines", "quiet"]
_LINE_SECONDS: Final = 10.0
_SHOWN: Final = {  # metric -> word; those only that a row has
    "train/accuracy": "accuracy",
    "train/length": "length",
    "episode/success": "success",
    "episode/cue_seen": "cue seen",
    "episode/return": "return",
    "train/entropy": "entropy",
}


_PERCENT: Final = {"success": ".0%", "cue seen": ".0%", "accuracy": ".2%"}


@runtime_checkable
class Progress(Protocol):
    """Told about every row."""

    def update(self, row: Row) -> None:
        """Show where training is: ``row`` as it goes to metrics.csv."""

    def say(self, sentence: str) -> None:
        """Show a sentence without tearing what is on the screen."""


@contextmanager
def progress_bar(
    total: int, start: int = 0, style: Style = "auto", unit: str = STEPS
) -> Iterator[Progress]:
    """A display of training, on the error stream.

    Args:
        total: experience at which training ends.
        start: experience at which this process begins; the rate is measured from there.
        style: ``bar``, ``lines`` (one about every 10 s), ``quiet``, or ``auto``: a bar on a
            terminal and lines elsewhere.
        unit: the column that counts experience.
    """
    console = Console(stderr=True)
    if style == "auto":
        style = "bar" if console.is_terminal else "lines"
    if style == "quiet":
        yield SilentProgress()
    elif style == "lines":
        yield LineProgress(
            total, start, lambda line: print(line, file=sys.stderr, flush=True), unit=unit
        )
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
    """Shows nothing; sentences still reach the error stream."""

    def update(self, row: Row) -> None:
        pass

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)


@final
class LineProgress:
    """A plain line about every ten seconds, and one at the end.

    Args:
        total: experience at which training ends.
        start: experience at which this process begins.
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
        self._known: dict[str, int | float] = {}

    def update(self, row: Row) -> None:
        # An iteration in which no episode ended has no success: the last one stays on screen.
        self._known |= {name: value for name, value in row.items() if not math.isnan(value)}
        seconds = time.monotonic() - self._began
        rate = (int(row[self._unit]) - self._start) / seconds if seconds > 0 else math.nan
        text = describe(self._known, rate, self._total, self._unit)
        self._bar.update(self._task, completed=int(row[self._unit]), description=text)

    def say(self, sentence: str) -> None:
        self._bar.console.print(sentence, markup=False, highlight=False)


def describe(row: Row, rate: float, total: int, unit: str = STEPS) -> str:
    """Where training is, in one line: experience, rate, and the metrics that say how it goes."""
    parts = [f"{int(row[unit]):,} of {total:,} {spoken(unit)}"]
    if not math.isnan(rate):
        parts.append(f"{rate:,.0f} {spoken(unit).removeprefix('env ')}/s")
    has_success = "episode/success" in row
    for name, word in _SHOWN.items():
        if name in row and not math.isnan(row[name]) and not (word == "return" and has_success):
            shown = f"{row[name]:{_PERCENT[word]}}" if word in _PERCENT else f"{row[name]:.3g}"
            parts.append(f"{word} {shown}")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
