"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from memrl.errors import disk_errors_explained

TEMPORARY: Final = ".tmp"  # ending of files that a kill left half written


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, a crash or a full disk sees the old one or all of the new.

    The bytes go to a temporary file beside ``path``, reach the disk (fsync), and take the name in
    one rename; the directory is synced too, or a power cut could undo the rename.

    Raises:
        RunError: the disk is full or not writable; ``path`` is as it was.
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
