"""Atomic writes: a file is written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from memrl.errors import disk_errors_explained

TEMPORARY: Final = ".tmp"  # suffix of files that a killed process left incomplete


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically: after a crash or a full disk, the old file or the new one exists.

    The bytes are written to a temporary file beside ``path`` and synced to disk, then the file is
    renamed. The directory is synced too, since a power failure could undo the rename.

    Raises:
        RunError: the disk is full or not writable; ``path`` is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with disk_errors_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open a directory
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
