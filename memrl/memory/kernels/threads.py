"""Calls of a kernel, whose loop over rows is divided among threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numba
import torch

LEAST_ROWS = 8  # of a thread; for fewer the hand-over takes longer than the work
LOCK = threading.Lock()  # not every pool of numba's can serve two callers


def call(kernel: Callable[..., None], rows: int, *arguments: Any) -> None:
    """Run a kernel with as many threads as torch uses; a row does not depend on their number."""
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    with LOCK:
        numba.set_num_threads(max(1, min(torch.get_num_threads(), most, rows // LEAST_ROWS)))
        kernel(*arguments)
