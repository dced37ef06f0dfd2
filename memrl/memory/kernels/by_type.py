"""What a memory does with one row, chosen by the type of its first argument.

Numba keeps no loop on disk that was given functions, so the loops over rows name what they call by
the type of a memory's sizes. Interpreted, a table is asked; compiled, the types decide once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from numba.core import types
from numba.extending import overload


class RowSteps(NamedTuple):
    """What a memory does with one row; all arrays are that row's."""

    access: Callable[..., None]  # (sizes, asked, before, after, kept, reads, *shared, *rows)
    reverse: Callable[..., None]  # (…, kept, d_reads, d_asked, d, *shared, *rows): d is changed
    restart: Callable[..., None]  # (sizes, d, d_initial): the gradient d arrives at a start


ROW_STEPS: Final[dict[type, RowSteps]] = {}  # by the type of the sizes


def access(sizes: Any, *arguments: Any) -> None:
    """One step of a row's memory."""
    ROW_STEPS[type(sizes)].access(sizes, *arguments)


def reverse(sizes: Any, *arguments: Any) -> None:
    """The gradient of that step."""
    ROW_STEPS[type(sizes)].reverse(sizes, *arguments)


def restart(sizes: Any, *arguments: Any) -> None:
    """Where an episode starts: hand a gradient to the initial state, and clear it."""
    ROW_STEPS[type(sizes)].restart(sizes, *arguments)


def at(arrays: Any, index: Any) -> Any:
    """A tuple of arrays at one index of their first axes; its type stays."""
    return getattr(type(arrays), "_make", tuple)([array[index] for array in arrays])


def _compile_by_type(function):
    name = function.__name__

    @overload(function)
    def choose(sizes, *arguments):
        if not isinstance(sizes, types.BaseNamedTuple):
            return None
        chosen = getattr(ROW_STEPS[sizes.instance_class], name)

        def run(sizes, *arguments):
            chosen(sizes, *arguments)

        return inspect.unwrap(run)  # a checker of shapes may have wrapped it


_compile_by_type(access)
_compile_by_type(reverse)
_compile_by_type(restart)


@overload(at)
def _at(arrays, index):
    """Numba builds tuples from as many parts as are written down."""
    if not isinstance(arrays, types.BaseTuple):
        return None
    parts = "".join(f"arrays[{i}][index], " for i in range(len(arrays)))
    named = {"kind": getattr(arrays, "instance_class", None)}
    made = f"({parts})" if named["kind"] is None else f"kind({parts})"
    exec(f"def rows(arrays, index): return {made}", named)
    return named["rows"]
