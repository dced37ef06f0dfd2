"""Jobs of a sweep in processes of joblib: how they are stopped, and how the processes end.

The process that began the sweep gets the signals, and passes the first one on to each job, which
saves after its iteration; no other job begins. A second signal ends all at once. Jobs whose sweep
was killed stop by themselves.

joblib knows none of that: at Ctrl-C, which a terminal sends to all processes, it kills its own
before they have saved, and at SIGTERM it leaves them behind.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from memrl.run.parent import watch_parent
from memrl.run.signals import StopRequest, stop_on_signals

_STOP: Final = "stop"  # the file that says that no other job begins
_watched: Final[list[int]] = []  # the process that began the sweep, in one of joblib's


@contextmanager
def signals_to_jobs(folder: Path) -> Iterator[StopRequest]:
    """Within it, the first signal stops the jobs that were begun with `as_job`.

    Args:
        folder: empty, for notes between the processes.
    """

    def stop_jobs(signum: int) -> None:
        (folder / _STOP).touch()
        for note in folder.glob("*.pid"):
            # It reads as Ctrl-C, which saves also where only learning hears of SIGTERM.
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int(note.stem), signal.SIGINT)

    with stop_on_signals(stop_jobs) as request:
        yield request


@contextmanager
def as_job(folder: Path, parent: int) -> Iterator[None]:
    """Be a job of the sweep that the process ``parent`` began.

    Between two jobs, a process of joblib ignores Ctrl-C: one that ends takes the others with it.

    Raises:
        KeyboardInterrupt: the sweep was stopped.
    """
    if parent not in _watched:
        _watched.append(parent)
        _be_told_alone()
        watch_parent(parent, _end_after_job)
    note = folder / f"{os.getpid()}.pid"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        note.touch()
        if stopped(folder):  # looked for after the note is there: no signal is missed
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        note.unlink(missing_ok=True)
        if os.getppid() != parent:
            os._exit(1)  # nobody takes a result


def stopped(folder: Path) -> bool:
    """Whether `signals_to_jobs` has had a signal."""
    return (folder / _STOP).exists()


def _be_told_alone() -> None:
    """Hear no signal of the terminal, which the process that began the sweep hears as well."""
    if hasattr(os, "setsid") and os.getpid() != os.getsid(0):
        os.setsid()


def _end_after_job() -> None:
    """End this process, whose sweep is gone, or let its job save and do so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        os._exit(1)
    os.kill(os.getpid(), signal.SIGINT)


def dismiss_workers() -> None:
    """End the processes of joblib: they wait for more jobs, and whoever began them too.

    They end by themselves where Python runs its exit handlers, which a process of multiprocessing
    does not.
    """
    loky: Any = sys.modules.get("joblib.externals.loky")
    if loky is not None:
        loky.get_reusable_executor(reuse=True).shutdown(wait=True)
