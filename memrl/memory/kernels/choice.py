"""Which memories step by a kernel: on a CPU, in full precision, where numba is installed.

The environment variable ``MEMRL_KERNELS=0`` turns kernels off: torch's operations, the reference of
all kernels, need nothing to be compiled.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from memrl.memory.ops.controlled import Memory

SWITCH = "MEMRL_KERNELS"


def row_memory(name: str, like: Tensor, *sizes: Any) -> Memory | None:
    """The kernel of a memory for tensors such as ``like``; None: use torch's operations.

    ``sizes`` are arguments of the kernel's ``memory``.

    The first call imports numba, which takes half a second.
    """
    plain = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    if not plain or traced or os.environ.get(SWITCH) == "0" or not has_numba():
        return None
    module = importlib.import_module(f"memrl.memory.kernels.{name}")
    memory: Memory = module.memory(str(like.dtype).removeprefix("torch."), *sizes)
    return memory


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
