"""The checkpoints of a run: the last two and the best are kept.

Of several ranks each writes a file with its own share of the state; what all have in common is in
that of rank 0. It is written last, and it names the others by their checksums: without it they
count for nothing, so that a kill at any moment leaves the checkpoint before whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from memrl.checkpoint import file as checkpoint
from memrl.checkpoint.atomic import TEMPORARY
from memrl.checkpoint.common import own_part, with_common
from memrl.distributed.collectives import from_rank_0, of_all_ranks, rank, ranks
from memrl.errors import CheckpointError, RunError

_NAME: Final = re.compile(r"steps-(\d+)\.safetensors")
_SHARE: Final = re.compile(r"(steps-\d+)\.rank-\d+\.safetensors")
KEEP_LAST: Final = 2  # in case the last one is damaged


class Checkpoint(NamedTuple):
    """A checkpoint in memory."""

    path: Path
    experience: int  # env steps or sequences when it was saved
    score: float | None  # success, or return if the task has no success
    state: dict[str, Any]  # {"agent": …, "run": …, "tracker": …, "randomness": …}
    ranks: int = 1  # that have saved it


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

    def save(
        self,
        state: Mapping[str, Any],
        *,
        experience: int,
        score: float | None,
        common: Collection[str] = (),
    ) -> Path:
        """Add a checkpoint, then delete all but the last two and the best; every rank calls it.

        Args:
            state: of this rank.
            experience: env steps or sequences of all ranks so far.
            score: success, or return if the task has no success.
            common: the parts of the state that all ranks have alike, by dotted path.

        Raises:
            RunError: the disk is full or not writable, or ranks have different folders; older
                checkpoints are unchanged.
        """
        path = self.folder / f"steps-{experience:012d}.safetensors"
        checksum = 0
        if rank():
            share = {"own": own_part(state, common), "common": sorted(common)}
            checksum = self._write(_share_of(path, rank()), share, experience, score)
        _, *shares = of_all_ranks(checksum)  # all have written when this returns
        if rank() == 0:
            _need_shares(path, shares)
            self._write(path, state, experience, score, shares)
            self._prune(experience)
        return path

    def save_failed(self, state: Mapping[str, Any], *, experience: int) -> Path:
        """Save rank 0's state of a training that diverged; ``last`` never returns it."""
        path = self.folder / f"failed-{experience:012d}.safetensors"
        if rank() == 0:
            self._write(path, state, experience, None)
        return path

    def last(self) -> Checkpoint | None:
        """The newest intact checkpoint, as rank 0 saved it; None if there is no file yet.

        Raises:
            CheckpointError: no file is intact, or the newest intact one belongs to another
                configuration or a newer version.
        """
        return self._newest(reversed(self._files()), self._load)

    def resumable(self) -> Checkpoint | None:
        """The newest checkpoint that is intact for all ranks, with the state of this one.

        Every rank calls it. With another number of ranks than had saved it, it is ``last``.

        Raises:
            CheckpointError: see ``last``.
        """
        return self._newest(from_rank_0(self._files()[::-1]), self._load_on_all_ranks)

    def _newest(
        self, paths: Iterable[Path], load: Callable[[Path], Checkpoint]
    ) -> Checkpoint | None:
        damaged: CheckpointError | None = None
        for path in paths:
            try:
                return load(path)
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
        """What rank 0 has saved."""
        state = checkpoint.load(path, fingerprint=self._fingerprint, defaults=self._defaults)
        header = checkpoint.read_header(path)
        number = 1 + len(header.shares)
        return Checkpoint(path, header.experience, header.score, state, number)

    def _load_on_all_ranks(self, path: Path) -> Checkpoint:
        """What this rank has saved; an error of any rank is raised on all."""
        found: Checkpoint | None = None
        own: CheckpointError | None = None
        try:
            found = self._load_own(path)
        except CheckpointError as error:
            own = error
        for fault in of_all_ranks(own):
            if fault is not None:
                raise fault
        assert found is not None
        return found

    def _load_own(self, path: Path) -> Checkpoint:
        whole = self._load(path)
        if whole.ranks != ranks() or rank() == 0:
            return whole
        file = _share_of(path, rank())
        if checkpoint.read_header(file).checksum != checkpoint.read_header(path).shares[rank() - 1]:
            raise CheckpointError(f"checkpoint {file} does not belong to {path.name}")
        share = checkpoint.load(file)
        return whole._replace(state=with_common(share["own"], whole.state, share["common"]))

    def _write(
        self,
        path: Path,
        state: Mapping[str, Any],
        experience: int,
        score: float | None,
        shares: Sequence[int] = (),
    ) -> int:
        return checkpoint.save(
            path,
            state,
            experience=experience,
            score=score,
            fingerprint=self._fingerprint,
            shares=shares,
        )

    def _files(self) -> list[Path]:
        """Oldest first: step numbers in names are zero-padded, so that names sort by steps."""
        return sorted(path for path in self.folder.glob("steps-*") if _NAME.fullmatch(path.name))

    def _shares(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("steps-*.rank-*") if _SHARE.fullmatch(path.name))

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
        for path in (*self._files(), *self._shares()):
            if _whole_of(path) not in kept:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(f".*{TEMPORARY}"):
            path.unlink(missing_ok=True)


def _share_of(path: Path, number: int) -> Path:
    """The file of another rank than 0 that belongs to ``path``."""
    return path.with_name(f"{path.stem}.rank-{number}{path.suffix}")


def _whole_of(path: Path) -> Path:
    """The file of rank 0 that a file belongs to; its own file itself."""
    share = _SHARE.fullmatch(path.name)
    return path.with_name(f"{share[1]}{path.suffix}") if share else path


def _need_shares(path: Path, checksums: Sequence[int]) -> None:
    """Check that rank 0 sees what the other ranks have written.

    Raises:
        RunError: a rank has written elsewhere.
    """
    for number, checksum in enumerate(checksums, start=1):
        file = _share_of(path, number)
        if not file.exists() or checkpoint.read_header(file).checksum != checksum:
            raise RunError(
                f"rank {number} has written {file.name} where rank 0 does not see it: let "
                f"{path.parent} lie on a disk that all ranks share"
            )


def _best(headers: Mapping[Path, checkpoint.Header]) -> Path | None:
    """The file with the highest score; the later one of a tie."""
    scored = [(h.score, h.experience, path) for path, h in headers.items() if h.score is not None]
    return max(scored)[2] if scored else None
