"""The two limits of a device: how fast it copies, and how fast it multiplies."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import torch

COPIED: Final = {"cuda": 1 << 30, "cpu": 1 << 26}  # bytes of the buffer that is copied
SIDE: Final = {"cuda": 8192, "cpu": 1024}  # of the square matrices that are multiplied
DTYPES: Final = {"float32": torch.float32, "bf16": torch.bfloat16}


def copy_rate(device: torch.device) -> float:
    """Bytes per second, read plus written, of a large copy within the device's memory."""
    source = torch.randint(256, (COPIED[device.type],), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds_of(lambda: target.copy_(source), device, repeats=7)


def product_rate(device: torch.device, precision: str, side: int | None = None) -> float:
    """Floating-point operations per second of a large product, as torch is configured.

    ``side``: of the square matrices; None: as ``SIDE`` says.
    """
    side = side or SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in "ab")
    return 2 * side**3 / seconds_of(lambda: a @ b, device, repeats=7)


def seconds_of(work: Callable[[], Any], device: torch.device, repeats: int = 3) -> float:
    """The median of some calls, after one that warms up; the device has finished each."""
    seconds = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])
