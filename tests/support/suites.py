"""Which cases of a test ``make test`` runs, and which wait for ``make test-slow``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from memrl.memory.registry import names

# One memory for each kind of state.
KINDS = frozenset(
    {
        "none",  # nothing
        "lstm",  # vectors
        "framestack",  # a window of the past
        "shm",  # a matrix, and an integer
        "lru",  # complex numbers, as two leaves
        "dnc",  # matrices with links
    }
)


def slow_but(kept: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """Every case, those that are not kept in the fast suite marked as slow."""
    return [
        case if case in kept else slow(*case) if isinstance(case, tuple) else slow(case)
        for case in cases
    ]


def slow(*values: Any) -> Any:
    """A case of the slow suite."""
    return pytest.param(*values, marks=pytest.mark.slow)


def nightly(*values: Any) -> Any:
    """A case of the nightly suite."""
    return pytest.param(*values, marks=pytest.mark.nightly)


# Every memory, where what is tested belongs to a policy or an agent and not to a memory.
MEMORIES = slow_but(KINDS, names())
