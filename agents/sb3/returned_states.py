"""Whether a caller of ``predict`` keeps the states that it returned."""

from __future__ import annotations

import weakref
from typing import Any, final

from torch import Tensor

from memrl.memory import state as states


@final
class ReturnedStates:
    """States that episodes began with and that were not handed back yet, by weak references.

    A caller who acts in two environments in turn still holds the first state when the second
    episode begins. A caller who drops a state lets it be freed: a state that was freed without
    having been handed back is lost. A copy of a policy starts without states.
    """

    def __init__(self) -> None:
        self._open: list[list[weakref.ref[Tensor]]] = []

    def add(self, state: Any) -> None:
        """A call without a state returned ``state``."""
        self._open.append([weakref.ref(leaf) for leaf in states.leaves(state)])

    def hand_back(self, state: Any) -> None:
        """A call was given ``state``; states that are gone may have been copied into it."""
        given = {id(leaf) for leaf in states.leaves(state)}
        self._open = [
            refs
            for refs in self._open
            if not _is_gone(refs) and not any(id(ref()) in given for ref in refs)
        ]

    def lost(self) -> bool:
        """Whether a state is gone that was not handed back; each is told once."""
        kept = [refs for refs in self._open if not _is_gone(refs)]
        any_gone = len(kept) < len(self._open)
        self._open = kept
        return any_gone

    def __reduce__(self) -> tuple[type[ReturnedStates], tuple[()]]:
        return ReturnedStates, ()


def _is_gone(refs: list[weakref.ref[Tensor]]) -> bool:
    # Some leaves may live in the memory itself; those of this step do not.
    return any(ref() is None for ref in refs)
