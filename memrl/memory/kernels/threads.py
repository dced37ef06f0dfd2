"""Calls of a kernel, whose loop over rows is divided among threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numba
import torch

LEAST_ROWS = 8  # of a thread; for fewer the hand-over takes longer than the work
LEAST_UNITS = 8192  # of a thread, where a row is H units of a cell
MOST: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
LOCK = threading.Lock()  # not every pool of numba's can serve two callers


class _Threads(threading.local):
    """How many threads kernels use that are called from here."""

    def __init__(self) -> None:
        self.now = 0

    def use(self, wanted: int) -> None:
        if wanted == self.now:
            return
        torchs = torch.get_num_threads()
        numba.set_num_threads(wanted)  # the first call starts numba's pool
        if torch.get_num_threads() != torchs:  # and may do so in the OpenMP that torch uses
            torch.set_num_threads(torchs)
        self.now = wanted


_THREADS = _Threads()


def call(kernel: Callable[..., None], shares: int, *arguments: Any) -> None:
    """Run a kernel on as many threads as torch uses, but no more than ``shares``.

    A row does not depend on their number.
    """
    with LOCK:
        _THREADS.use(max(1, min(torch.get_num_threads(), MOST, shares)))
        kernel(*arguments)
