"""The checkpoints of a run: the last two and the best are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from memrl.checkpoint import file as checkpoint
from memrl.checkpoint.atomic import TEMPORARY
from memrl.distributed.collectives import rank
from memrl.errors import CheckpointError

_NAME: Final = re.compile(r"steps-(\d+)\.safetensors")
KEEP_LAST: Final = 2  # in case the last one is damaged


class Checkpoint(NamedTuple):
    """A checkpoint in memory."""

    path: Path
    experience: int  # env steps or sequences when it was saved
    score: float | None  # success, or return if the task has no success
    state: dict[str, Any]  # {"agent": …, "run": …, "tracker": …, "randomness": …}


@final
class Checkpoints:
    """The folder ``checkpoints/`` of a run.

    Args:
        folder: of the files; created by the first save.
        fingerprint: the configuration that a checkpoint must match; None skips the comparison.
        defaults: of the configuration's groups, for options that are newer than a file.
        warn: receives a sentence if a damaged file is skipped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fingerprint: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.folder = folder
        self._fingerprint, self._defaults = fingerprint, defaults
        self._warn = warn

    def save(self, state: Mapping[str, Any], *, experience: int, score: float | None) -> Path:
        """Add a checkpoint, then delete all but the last two and the best; rank 0 alone writes.

        Raises:
            RunError: the disk is full or not writable; older checkpoints are unchanged.
        """
        path = self.folder / f"steps-{experience:012d}.safetensors"
        self._write(path, state, experience, score)
        if rank() == 0:
            self._prune(experience)
        return path

    def save_failed(self, state: Mapping[str, Any], *, experience: int) -> Path:
        """Save the state of a training that diverged, for inspection; ``last`` never returns it."""
        path = self.folder / f"failed-{experience:012d}.safetensors"
        self._write(path, state, experience, None)
        return path

    def last(self) -> Checkpoint | None:
        """The newest intact checkpoint; None if there is no file yet.

        Raises:
            CheckpointError: no file is intact, or the newest intact one belongs to another
                configuration or a newer version.
        """
        damaged: CheckpointError | None = None
        for path in reversed(self._files()):
            try:
                return self._load(path)
            except CheckpointError as error:
                if error.another:
                    raise
                self._warn(f"{error}; the checkpoint before it is used")
                damaged = error
        if damaged is not None:
            raise CheckpointError(f"no checkpoint in {self.folder} is intact") from damaged
        return None

    def best(self) -> Checkpoint | None:
        """The checkpoint with the highest score; None if none has a score.

        Raises:
            CheckpointError: it is damaged, or belongs to another configuration or version.
        """
        path = _best(self._headers())
        return None if path is None else self._load(path)

    def _load(self, path: Path) -> Checkpoint:
        state = checkpoint.load(path, fingerprint=self._fingerprint, defaults=self._defaults)
        header = checkpoint.read_header(path)
        return Checkpoint(path, header.experience, header.score, state)

    def _write(
        self, path: Path, state: Mapping[str, Any], experience: int, score: float | None
    ) -> None:
        if rank() == 0:
            checkpoint.save(
                path, state, experience=experience, score=score, fingerprint=self._fingerprint
            )

    def _files(self) -> list[Path]:
        """Oldest first: step numbers in names are zero-padded, so that names sort by steps."""
        return sorted(path for path in self.folder.glob("steps-*") if _NAME.fullmatch(path.name))

    def _headers(self) -> dict[Path, checkpoint.Header]:
        headers = {}
        for path in self._files():
            try:
                headers[path] = checkpoint.read_header(path)
            except CheckpointError:
                continue
        return headers

    def _prune(self, experience: int) -> None:
        # Files with more steps remain from before a resume: the newest one was damaged, and
        # training continued from the one before it.
        headers = {p: h for p, h in self._headers().items() if h.experience <= experience}
        kept = {*list(headers)[-KEEP_LAST:], _best(headers)}
        for path in self._files():
            if path not in kept:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(f".*{TEMPORARY}"):
            path.unlink(missing_ok=True)


def _best(headers: Mapping[Path, checkpoint.Header]) -> Path | None:
    """The file with the highest score; the later one of a tie."""
    scored = [(h.score, h.experience, path) for path, h in headers.items() if h.score is not None]
    return max(scored)[2] if scored else None
