"""The state of a rank in two parts: what all ranks have in common, and what is its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def own_part(state: Mapping[str, Any], common: Collection[str]) -> dict[str, Any]:
    """A state without what is common, which is given by dotted paths: ``agent.policy``."""
    here = {path for path in common if "." not in path}
    return {
        key: own_part(value, below) if (below := _below(common, key)) and _nested(value) else value
        for key, value in state.items()
        if key not in here
    }


def with_common(
    own: Mapping[str, Any], state: Mapping[str, Any], common: Collection[str]
) -> dict[str, Any]:
    """A rank's own part (or a whole state) with what is common as ``state`` has it."""
    joined = dict(own)
    for key in sorted({path.partition(".")[0] for path in common} & state.keys()):
        below = _below(common, key)
        if key in common:
            joined[key] = state[key]
        elif _nested(state[key]) and _nested(own.get(key)):
            joined[key] = with_common(own[key], state[key], below)
    return joined


def _below(common: Collection[str], key: str) -> set[str]:
    """The paths in the part ``key`` of a state."""
    return {path.removeprefix(f"{key}.") for path in common if path.startswith(f"{key}.")}


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping)
