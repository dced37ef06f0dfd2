"""Indexes that are kept from call to call, as long as they hold what the memory holds."""

from __future__ import annotations

import weakref
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memrl.memory.stores.index import Indexes


@final
class IndexCache:
    """The indexes of the memory that came out last, as long as nobody else edits it.

    A state is a value and an index is none: one that goes on with another state is built anew.
    """

    def __init__(self) -> None:
        self._of: weakref.ref[torch.UntypedStorage] | None = None
        self._version = 0
        self._indexes: Indexes | None = None

    def take(self, memory: Float[Tensor, "B N W"], written: Int[Tensor, " B"]) -> Indexes:
        """The indexes that hold the first ``written`` words; they are edited from now on."""
        same = self._of is not None and self._of() is memory.untyped_storage()
        indexes, self._indexes = self._indexes, None
        if indexes is None or not same or memory._version != self._version:
            indexes = Indexes(*memory.shape)
            indexes.fill(memory, written)
        return indexes

    def keep(self, memory: Float[Tensor, "B N W"], indexes: Indexes) -> None:
        """For the step that goes on with this very tensor, detached or not."""
        self._of = weakref.ref(memory.untyped_storage())
        self._version, self._indexes = memory._version, indexes

    def __deepcopy__(self, memo: dict[int, Any]) -> IndexCache:
        return IndexCache()

    def __reduce__(self) -> tuple[type[IndexCache], tuple[()]]:
        return IndexCache, ()
