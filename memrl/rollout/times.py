"""Where the time of an iteration goes, by the clock of the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, final

import torch
from torch import Tensor

PARTS: Final = ("env", "acting", "learning", "waiting")


@final
class Times:
    """Seconds in each of ``PARTS``; of parts within each other, the innermost has the time.

    On CUDA these are the times in which the host launched the work. ``clock`` returns seconds,
    monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._inside: list[str] = []
        self._since = self._began = self._clock()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """What is done within it belongs to ``part``."""
        self._turn()
        self._inside.append(part)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def read(self) -> dict[str, Tensor]:
        """Shares of the time since the last ``read``, by metric; the rest went to reports."""
        now = self._clock()
        total = max(now - self._began, 1e-9)
        shares = {f"time/{part}": torch.tensor(s / total) for part, s in self._seconds.items()}
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._began = now
        return shares

    def _turn(self) -> None:
        now = self._clock()
        if self._inside:
            self._seconds[self._inside[-1]] += now - self._since
        self._since = now
