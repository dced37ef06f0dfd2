"""Where a replay lies: in memory, or beyond a limit in files that are mapped into it."""

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


def place(size: int, limit: float | None, folder: Path | None, device: torch.device) -> Allocate:
    """How a replay of ``size`` bytes is allocated: in files above ``limit`` GB, else in memory.

    Nothing is allocated here.

    Raises:
        ValueError: there is no room for it, or it would spill from an accelerator.
    """
    if limit is None or size <= limit * GB:
        free = _free_memory(device)
        if free is not None and size > free:
            raise ValueError(
                f"a replay of {_gb(size)} does not fit into the {_gb(free)} of memory that are "
                f"free on {device}: hold fewer steps, or let it spill to disk above a limit, as "
                "agent=r2d2 can"
            )
        return in_memory
    if device.type != "cpu":
        raise ValueError(
            f"a replay of {_gb(size)} is above the limit of {limit} GB, and one on {device} cannot "
            "spill to disk: hold fewer steps, or raise the limit"
        )
    return Spilled(folder or Path(tempfile.gettempdir()), size)


@final
class Spilled:
    """Allocates arrays as mapped files of ``folder``, zeros at first.

    A file has no name any more as soon as it is mapped, so that it goes with its process, however
    that ends.

    Raises:
        ValueError: there is no such folder, or less than ``size`` bytes are free in it.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise ValueError(f"a replay cannot spill to {folder}: there is no such folder")
        space = os.statvfs(folder)
        free = space.f_bavail * space.f_frsize
        if size > free:
            raise ValueError(
                f"a replay of {_gb(size)} does not fit into the {_gb(free)} that are free in "
                f"{folder}: hold fewer steps, or name a folder on a larger disk"
            )

    def __call__(
        self, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """A mapped array."""
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
        """Take the room now: a mapped file that meets a full disk kills its process."""
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
    """Bytes that can be had now; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    told = _meminfo()
    return told["MemAvailable"] if "MemAvailable" in told else None


def _meminfo() -> Mapping[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def _gb(size: int) -> str:
    return f"{size / GB:,.3g} GB"
