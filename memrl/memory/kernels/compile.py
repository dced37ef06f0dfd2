"""How kernels are compiled: by numba, once, on first use, and kept on disk."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import cache
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
    """Compile a function of one row of a batch.

    It allocates nothing, so its arrays are not counted: counting them takes half of the time.
    """
    return _compiled(function, _nrt=False)


def over_rows(function: F) -> F:
    """Compile a loop over rows, which ``prange`` divides among threads."""
    return _compiled(function, parallel=True)


def _compiled(function: F, **options: bool) -> F:
    compile: Any = numba.njit
    plain = inspect.unwrap(function)
    try:
        kernel: F = compile(**OPTIONS, **options, cache=True)(plain)
    except RuntimeError:  # numba found no folder for its cache
        _say_uncached()
        kernel = compile(**OPTIONS, **options)(plain)
    return kernel


@cache
def _say_uncached() -> None:
    warnings.warn(
        "numba finds no folder that it may write to: the kernels of memories are compiled anew in "
        "every process (name a folder in NUMBA_CACHE_DIR)",
        stacklevel=2,
    )
