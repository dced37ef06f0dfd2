"""What can go wrong, each as one sentence for the person at the terminal."""

from __future__ import annotations

import difflib
import errno
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

_LINE: Final = 100  # characters

_ROOT: Final = Path(__file__).resolve().parents[1]


class RunError(Exception):
    """A run cannot go on; the message is one sentence: what happened and what would be right."""


class EnvError(RunError, RuntimeError):
    """An environment raised an exception of its own; the message names both."""


class EnvOutputError(ValueError):
    """An environment returned what its spaces or Gymnasium's interface do not allow."""


class CheckpointError(RunError):
    """A file is no checkpoint, is damaged, or belongs to another configuration or version.

    Attributes:
        another: the file is intact, but of another configuration or a newer version: an older file
            would not help.
    """

    def __init__(self, message: str, *, another: bool = False) -> None:
        super().__init__(message)
        self.another = another


class RankLost(RunError):
    """Another process of this training ended; that one says why."""

    def __init__(self, rank: int) -> None:
        super().__init__(f"rank {rank} stops, since another rank has ended; that one says why")


class RanksFailed(RunError):
    """A training by several processes failed; the message is that of one of them.

    Attributes:
        exit_code: of that process.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(RunError):
    """A signal ended training after a checkpoint was saved.

    Attributes:
        exit_code: 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


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


def shortened(value: object) -> str:
    """A value for a message: on one line of at most 100 characters, even if it is a big array."""
    text = " ".join(str(value).split())
    return text if len(text) <= _LINE else f"{text[:_LINE]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean …?``, or nothing where no known word is close."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def nearly_as_near(word: str, known: list[str]) -> list[str]:
    """Of words that resemble ``word``, nearest first, those that are hardly farther than it."""
    alike = [difflib.SequenceMatcher(None, word, each).ratio() for each in known]
    return [each for each, ratio in zip(known, alike, strict=True) if ratio > alike[0] - 0.05]


def choices(error: Mapping[str, Any]) -> list[str]:
    """The words that an option takes, out of pydantic's error about another word; or none."""
    return re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))


def install_command(extra: str, root: Path = _ROOT) -> str:
    """The command that installs an extra: into a clone, or from where the package came.

    Args:
        extra: one of pyproject.toml's optional dependencies.
        root: the folder in which the package lies.
    """
    if (root / "pyproject.toml").is_file():  # a clone, installed as editable or only imported
        return f"pip install -e {shlex.quote(f'{root}[{extra}]')}"
    source = _source()
    wanted = f"memrl[{extra}]" + (f" @ {source}" if source else "")
    return f"pip install {shlex.quote(wanted)}"


def _source() -> str | None:
    """The address from which pip took the package; None if from an index (PEP 610)."""
    try:
        text = distribution("memrl").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    origin = json.loads(text) if text else {}
    vcs = origin.get("vcs_info", {}).get("vcs")
    url = origin.get("url")
    return f"{vcs}+{url}" if vcs else url
