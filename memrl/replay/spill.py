"""Allocate a replay in memory or, above a limit, in memory-mapped files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

from memrl.replay.ring import Allocate, Items, in_memory

GB: Final = 1_000_000_000


def nbytes(rows: int, example: Items) -> int:
    """Bytes of ``rows`` rows of every array, whose rows are those of ``example`` [n, ...]."""
    return sum(rows * array.element_size() * array.shape[1:].numel() for array in example.values())


def allocator(
    size: int, limit: float | None, folder: Path | None, device: torch.device
) -> Allocate:
    """How to allocate the arrays of a replay: in files above ``limit`` GB, or else in memory.

    Raises:
        ValueError: ``size`` bytes are not free, or they would spill from an accelerator.
    """
    if limit is None or size <= limit * GB:
        free = _free_memory(device)
        if free is not None and size > free:
            raise ValueError(
                f"the replay needs {_gb(size)}; allowed: {_gb(free)}, the free memory on {device}; "
                "store fewer steps, or let it spill to disk above a limit, as agent=r2d2 can"
            )
        return in_memory
    if device.type != "cpu":
        raise ValueError(
            f"the replay needs {_gb(size)}; allowed: {limit} GB, because a replay on {device} "
            "cannot spill to disk; store fewer steps, or raise the limit"
        )
    return MappedFiles(folder or Path(tempfile.gettempdir()), size)


@final
class MappedFiles:
    """Allocates arrays as memory-mapped files in ``folder``, filled with zeros.

    A file is unlinked as soon as it is mapped, so that the system deletes it when the process ends.

    Raises:
        ValueError: the folder does not exist, or has less than ``size`` bytes free.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise ValueError(f"the folder of the replay is {folder}; allowed: an existing folder")
        space = os.statvfs(folder)
        free = space.f_bavail * space.f_frsize
        if size > free:
            raise ValueError(
                f"the replay needs {_gb(size)}; allowed: {_gb(free)}, the free space in {folder}; "
                "store fewer steps, or choose a folder on a larger disk"
            )

    def __call__(
        self, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """A memory-mapped array."""
        count = torch.Size(shape).numel()
        size = count * torch.empty((), dtype=dtype).element_size()
        if not size:
            return in_memory(name, shape, dtype, device)
        handle, path = tempfile.mkstemp(prefix="memrl-replay-", dir=self.folder)
        try:
            self._reserve(handle, size)
            flat = torch.from_file(path, shared=True, size=count, dtype=dtype)
        finally:
            os.close(handle)
            Path(path).unlink()
        return flat.view(shape)

    def _reserve(self, handle: int, size: int) -> None:
        """Reserve the space now: writing to a mapped file on a full disk would kill the process."""
        if not hasattr(os, "posix_fallocate"):
            os.truncate(handle, size)
            return
        try:
            os.posix_fallocate(handle, 0, size)
        except OSError as error:
            raise ValueError(
                f"a replay cannot spill {_gb(size)} to {self.folder}: {error.strerror}"
            ) from error


def _free_memory(device: torch.device) -> int | None:
    """Free bytes; None if the system does not report them."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _meminfo().get("MemAvailable")


def _meminfo() -> Mapping[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def _gb(size: int) -> str:
    return f"{size / GB:,.3g} GB"
