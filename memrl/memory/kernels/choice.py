"""Which memories step by a kernel: on a CPU, in full precision, where numba is installed."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from memrl.memory.ops.controlled import Memory


def row_memory(name: str, like: Tensor, *sizes: Any) -> Memory | None:
    """The kernel of a memory for tensors such as ``like``; None: use torch's operations.

    ``sizes`` are arguments of the kernel's ``memory``.

    The first call imports numba, which takes half a second.
    """
    if not runs_kernels(like):
        return None
    module = importlib.import_module(f"memrl.memory.kernels.{name}")
    memory: Memory = module.memory(str(like.dtype).removeprefix("torch."), *sizes)
    return memory


def runs_kernels(like: Tensor) -> bool:
    """Whether kernels can compute with tensors such as ``like``."""
    plain = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return plain and not traced and has_numba()


@cache
def has_numba() -> bool:
    """Whether numba is installed; warns once if it is not."""
    if importlib.util.find_spec("numba") is not None:
        return True
    warnings.warn(
        "numba is not installed: external memories learn at about a third of their speed "
        "(pip install numba)",
        stacklevel=2,
    )
    return False
