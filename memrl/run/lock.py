"""The lock of a run's directory: one process trains a run at a time."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from memrl.errors import RunError, disk_errors_explained

LOCK: Final = "run.lock"  # in the run's directory; it stays there, for deleting it would let two in
_WITHOUT_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held: Final[set[int]] = set()  # file descriptors of this process


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a run, which ends with this process however that ends.

    Readers need no lock: a live run can be evaluated, watched and compared. On Windows, and on
    a file system without locks, nothing is locked.

    Args:
        directory: of the run; it exists.

    Raises:
        RunError: the run is being trained, here or by another process; or the disk is full or not
            writable.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with disk_errors_explained(directory):
        handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(_refusal(directory, os.pread(handle, 20, 0))) from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def _refusal(directory: Path, holder: bytes) -> str:
    process = f"process {holder.decode().strip()}" if holder.strip().isdigit() else "a process"
    return (
        f"{directory} is being trained by {process}: wait until it ends, or stop it; "
        "memrl evaluate, watch and compare can be used meanwhile"
    )


def _close_in_child() -> None:
    """A forked child, such as a worker with an environment, must not outlive us as the holder."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
