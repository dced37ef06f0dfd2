"""Indexes that are reused from call to call while the memory is unchanged."""

from __future__ import annotations

import weakref
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memrl.memory.stores.index import Indexes, Kind


@final
class IndexCache:
    """The indexes of the last returned memory, valid until someone edits it.

    For any other memory they are built anew.

    Args:
        kind: of the indexes.
    """

    def __init__(self, kind: Kind = "ivf") -> None:
        self._kind: Kind = kind
        self._of: weakref.ref[torch.UntypedStorage] | None = None
        self._unedited: int | Tensor = 0
        self._indexes: Indexes | None = None

    def take(self, memory: Float[Tensor, "B N W"], written: Int[Tensor, " B"]) -> Indexes:
        """The indexes of the first ``written`` words. The caller may edit them."""
        same = self._of is not None and self._of() is memory.untyped_storage()
        indexes, self._indexes = self._indexes, None
        if indexes is None or not same or not _is(memory, self._unedited):
            indexes = Indexes(*memory.shape, kind=self._kind)
            indexes.fill(memory, written)
        else:
            indexes.forget((written == 0).tolist())  # a start resets a row, but not its memory
        return indexes

    def keep(self, memory: Float[Tensor, "B N W"], indexes: Indexes) -> None:
        """Store the indexes for the next call with this tensor, detached or not."""
        self._of = weakref.ref(memory.untyped_storage())
        self._unedited, self._indexes = _contents(memory), indexes

    def drop(self) -> None:
        """Forget the indexes."""
        self._indexes = None

    def __deepcopy__(self, memo: dict[int, Any]) -> IndexCache:
        return IndexCache(self._kind)

    def __reduce__(self) -> tuple[type[IndexCache], tuple[Kind]]:
        return IndexCache, (self._kind,)


def _contents(memory: Tensor) -> int | Tensor:
    """What changes when someone edits the memory: its version, or a copy where torch counts none.

    It counts none for tensors made in ``torch.inference_mode``.
    """
    return memory.clone() if memory.is_inference() else memory._version


def _is(memory: Tensor, contents: int | Tensor) -> bool:
    if isinstance(contents, Tensor):
        return memory.equal(contents)
    return not memory.is_inference() and memory._version == contents
