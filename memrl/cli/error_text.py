"""An error, or a warning, as the one sentence that a person reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from warnings import formatwarning as _python_text

import memrl
from memrl.errors import RunError

_ROOM: Final = Path(memrl.__path__[0])


def one_sentence(error: Exception) -> str:
    """What happened; an error that is not a user's mistake names its code, theirs or memrl's."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes | os.PathLike):
        return _about_file(error)
    if isinstance(error, ValueError | OSError | RunError):
        return text
    from memrl.plugins import own_error, own_line

    if own_line(error) is not None:  # code of the person's own, such as a memory or an environment
        return f"{own_error(error)}; --debug shows how it came there"
    name = type(error).__name__
    return f"{name}: {text} (this looks like a defect of memrl; --debug shows where it happened)"


def warning_text(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning of memrl without the line of code that gave it; others as Python prints them."""
    if issubclass(category, UserWarning) and Path(filename).is_relative_to(_ROOM):
        return f"{message}\n"
    return _python_text(message, category, filename, lineno, line)


def _about_file(error: OSError) -> str:
    """What the system said of a file; without its number, and of a file that should be a folder."""
    path = Path(os.fsdecode(error.filename))
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    if isinstance(error, NotADirectoryError | FileExistsError) and file is not None:
        return f"{file} is a file, where a folder is wanted: choose another place"
    said = (error.strerror or type(error).__name__).lower()
    return f"{path}: {said}"
