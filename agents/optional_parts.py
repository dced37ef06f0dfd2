"""Parts of an agent that an option switches on, as entries of its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Part(Protocol):
    """Something with a state that a continuation needs."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> object: ...


def states_of(parts: Mapping[str, Part | None]) -> dict[str, dict[str, Any] | None]:
    """The state of each part; None of those that are off."""
    return {name: None if part is None else dict(part.state_dict()) for name, part in parts.items()}


def load_states(parts: Mapping[str, Part | None], states: Mapping[str, Any]) -> None:
    """Continue from ``states_of``; a part that is off here is left out, whatever it was there."""
    for name, part in parts.items():
        if part is not None:
            part.load_state_dict(states[name])
