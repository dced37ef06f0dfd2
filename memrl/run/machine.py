"""The commit, the versions and the machine that produced a result."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch

_PACKAGES: Final = ("memrl", "torch", "numpy", "gymnasium", "minigrid")
_SOURCE: Final = Path(__file__).resolve().parents[1]


def commit(source: Path = _SOURCE) -> dict[str, Any] | None:
    """The git commit of memrl's own source, and whether tracked files differ from it.

    None outside a checkout. An installed package may lie inside another git repository; therefore
    git must track memrl's source.
    """
    if _git(source, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    sha, changes = (
        _git(source, "rev-parse", "HEAD"),
        _git(source, "status", "--porcelain", "--untracked-files=no"),
    )
    return None if sha is None else {"sha": sha, "dirty": bool(changes)}


def versions() -> dict[str, str | None]:
    """Versions of Python and of packages that affect results; None for missing packages."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine(device: torch.device) -> dict[str, Any]:
    """The processor, usable cores, memory, torch's number of threads, and the accelerator."""
    on_gpu = device.type == "cuda"
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory_bytes(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if on_gpu else None,
    }


def usable_cores() -> int:
    """The cores that this process may run on; ``taskset`` and containers allow some of them."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads() -> int:
    """A thread for each usable core, or as many as OMP_NUM_THREADS says: other jobs have theirs."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(asked)) if asked.isdigit() and int(asked) else usable_cores()


def peak_rss_bytes() -> int | None:
    """Peak resident memory of this process; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
