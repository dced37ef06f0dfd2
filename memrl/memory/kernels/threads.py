"""Calls of a kernel, whose loop over rows is divided among threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import torch

LEAST_ROWS = 64  # of a thread in a single step; for fewer the hand-over takes longer than the work
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


def divide(kernel: Callable[..., None], rows: int, least: int, *arguments: Any) -> None:
    """Run ``kernel(begin, end, …)`` on as many threads as torch uses, with ``least`` rows or more.

    The hand-over takes some 50 µs. A row does not depend on the number of threads.
    """
    threads = max(1, min(torch.get_num_threads(), rows // least))
    parts = list(pairwise(rows * i // threads for i in range(threads + 1)))
    others = [_pool(os.getpid()).submit(kernel, *part, *arguments) for part in parts[1:]]
    try:
        kernel(*parts[0], *arguments)
    finally:
        for other in others:
            other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of a process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(MOST, thread_name_prefix="memrl-kernel")


class Calls:
    """Calls of a kernel with other arguments of the same types.

    Numba looks up the types of arguments in each call, half a microsecond each. Here they are
    looked up once, in the second call; the layout of arrays belongs to them.
    """

    def __init__(self, kernel: Callable[..., None], shares: int) -> None:
        self._kernel, self._shares = kernel, shares
        self._calls = 0

    def __call__(self, *arguments: Any) -> None:
        self._calls += 1
        if self._calls == 2:
            self._kernel = _compiled(self._kernel, arguments)
        call(self._kernel, self._shares, *arguments)


def _compiled(kernel: Any, arguments: tuple[Any, ...]) -> Callable[..., None]:
    """The machine code for such arguments; an interpreted kernel is its own."""
    if not hasattr(kernel, "overloads"):
        return kernel  # type: ignore[no-any-return]
    types = tuple(map(numba.typeof, arguments))
    kernel.compile(types)  # does nothing where this is done
    return kernel.overloads[types].entry_point  # type: ignore[no-any-return]
