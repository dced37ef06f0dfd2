"""Which memories step by a kernel: on a CPU, in full precision, where numba is installed.

The environment variable ``MEMRL_KERNELS=0`` turns kernels off: torch's operations, the reference of
all kernels, need nothing to be compiled.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from memrl.memory.ops.controlled import Memory

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])
SWITCH = "MEMRL_KERNELS"
_torch_only: ContextVar[bool] = ContextVar("torch_only", default=False)


@contextmanager
def torch_only() -> Iterator[None]:
    """Memories compute by torch's operations alone, which torch's tools can see and count."""
    before = _torch_only.set(True)
    try:
        yield
    finally:
        _torch_only.reset(before)


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


def kernel_of(reference: type[C], like: Tensor) -> type[C]:
    """The kernel that computes what ``reference`` does, where one runs for such tensors."""
    if not runs_kernels(like):
        return reference
    kernels = importlib.import_module("memrl.memory.kernels.references")
    kernel: type[C] = kernels.KERNELS[reference]
    return kernel


def operation(reference: F, like: Tensor) -> F:
    """The kernel that computes what a function of `memrl.memory.ops` does, where one runs.

    It has the function's name, in a file of the room of kernels that has the name of its file.
    """
    room = reference.__module__.rpartition(".")[2]
    return kernel(room, reference.__name__, like) or reference


def kernel(room: str, name: str, like: Tensor) -> Any:
    """The function ``name`` of a file of kernels; None: use torch's operations."""
    if not runs_kernels(like):
        return None
    return getattr(importlib.import_module(f"memrl.memory.kernels.{room}"), name)


def runs_kernels(like: Tensor) -> bool:
    """Whether kernels compute with tensors such as ``like``."""
    return _serves(like) and has_numba()


def no_kernel(what: str, like: Tensor) -> None:
    """Say once that ``what`` has no kernel, where others have one."""
    if _serves(like):
        _say(f"{what} has no kernel yet: it runs in torch, several times slower")


def _serves(like: Tensor) -> bool:
    """Whether kernels are for such tensors, and turned on."""
    plain = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return plain and not traced and os.environ.get(SWITCH) != "0" and not _torch_only.get()


@cache
def has_numba() -> bool:
    """Whether numba is installed; warns once if it is not."""
    if importlib.util.find_spec("numba") is not None:
        return True
    _say(
        "numba is not installed: memories learn at half to three quarters of their speed "
        "(pip install numba)"
    )
    return False


@cache
def _say(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=4)
