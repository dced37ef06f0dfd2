"""How kernels are compiled: by numba, once, on first use, and kept on disk."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {
    # NaN and infinity keep their meaning; sums may be taken in any order.
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
    "error_model": "numpy",  # x / 0 is infinite
    "nogil": True,
    "cache": True,
}


def row(function: F) -> F:
    """Compile a function of one row of a batch.

    It allocates nothing, so its arrays are not counted: counting them takes half of the time.
    """
    return numba.njit(**OPTIONS, _nrt=False)(inspect.unwrap(function))  # type: ignore[no-any-return]


def over_rows(function: F) -> F:
    """Compile a loop over rows, which ``prange`` divides among threads."""
    return numba.njit(**OPTIONS, parallel=True)(inspect.unwrap(function))  # type: ignore[no-any-return]
