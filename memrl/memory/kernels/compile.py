"""How kernels are compiled: by numba, once, on first use, and kept on disk."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numba
from numba.core import event
from numpy.typing import NDArray

from memrl.memory.kernels.notice import Notice

F = TypeVar("F", bound=Callable[..., Any])
Array: TypeAlias = NDArray[Any]
OPTIONS: dict[str, Any] = {
    # NaN and infinity keep their meaning; sums may be taken in any order.
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
    "error_model": "numpy",  # x / 0 is infinite
    "nogil": True,
}
event.register("numba:compile", Notice())


def row(function: F) -> F:
    """Compile a function of one row of a batch, which kernels call.

    It allocates nothing, so its arrays are not counted: counting them takes half of the time. Nor
    can Python call it, which saves a sixth of what is left. It is inlined: of two compiled copies,
    which may round in other places, the process that compiles would call one, and later ones the
    other.
    """
    return _compiled(
        function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True
    )


def loop(function: F) -> F:
    """Compile a loop over some rows, which `threads.divide` gives to threads."""
    return _compiled(function, _nrt=False)


def over_rows(function: F) -> F:
    """Compile a loop over rows that ``prange`` divides among threads: for calls of microseconds.

    It takes twice as long to compile as a plain loop.
    """
    return _compiled(function, parallel=True)


def _compiled(function: F, **options: bool) -> F:
    compile: Any = numba.njit
    plain = inspect.unwrap(function)
    plain.__qualname__ = f"{plain.__name__}_{_room_digest()}"  # a part of the file's name
    try:
        kernel: F = compile(**OPTIONS, **options, cache=True)(plain)
    except RuntimeError:  # numba found no folder for its cache
        _say_uncached()
        kernel = compile(**OPTIONS, **options)(plain)
    return kernel


@cache
def _room_digest() -> str:
    """A digest of all kernels.

    Numba sees that the file of a kernel has changed, but not a file of what the kernel calls.
    """
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


@cache
def _say_uncached() -> None:
    warnings.warn(
        "numba finds no folder that it may write to: the kernels of memories are compiled anew in "
        "every process (name a folder in NUMBA_CACHE_DIR)",
        stacklevel=2,
    )
