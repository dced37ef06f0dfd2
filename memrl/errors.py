"""What can go wrong in a run, each as one sentence for the person at the terminal."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunError(Exception):
    """A run cannot go on; the message is one sentence: what happened and what would be right."""


class CheckpointError(RunError):
    """A file is no checkpoint, is damaged, or belongs to another configuration or version.

    Attributes:
        another: the file is intact, but of another configuration or a newer version: an older file
            would not help.
    """

    def __init__(self, message: str, *, another: bool = False) -> None:
        super().__init__(message)
        self.another = another


class Interrupted(RunError):
    """A signal ended training after a checkpoint was saved.

    Attributes:
        exit_code: 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def one_sentence(error: Exception) -> str:
    """What a person reads of an error; one that is not a user's mistake is named a defect."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | RunError):
        return text
    name = type(error).__name__
    return f"{name}: {text} (this looks like a defect of memrl; --debug shows where it happened)"


@contextmanager
def disk_errors_explained(path: Path) -> Iterator[None]:
    """Turn a full disk, quota or read-only disk into a ``RunError``; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full: free some space; what was written before is intact"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            why = "the folder cannot be written to: choose another place"
        else:
            raise
        raise RunError(f"could not write {path}: {why}") from error
