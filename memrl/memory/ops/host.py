"""Whether the host may read values of a sequence; while a CUDA graph records, it may not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from jaxtyping import Bool
from torch import Tensor

_READS: Final = ContextVar("_READS", default=True)


@contextmanager
def without_host() -> Iterator[None]:
    """Within it, sequences are computed without reading a value on the host.

    It holds for the calls of this thread; gradients of what was computed within need no host
    either.
    """
    token = _READS.set(False)
    try:
        yield
    finally:
        _READS.reset(token)


def host_reads() -> bool:
    """Whether this is outside of ``without_host``."""
    return _READS.get()


def steps_with_start(start: Bool[Tensor, "T B"]) -> list[bool]:
    """Whether an episode starts at each step, in any row.

    It copies ``start`` to the host once. ``without_host`` it takes every step for one: resets
    select, so a reset where no episode starts changes no value.
    """
    if not host_reads():
        return [True] * len(start)
    return start.any(dim=1).tolist()
