"""Names that keep runs of one memory apart where more than their seed differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# What a run may differ in and still be another seed of the same method.
_ALIKE: Final = frozenset({"seed", "device", "threads", "compile", "evaluate.episodes"})
_ROOMS: Final = ("run.", "track.")


def variants(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One name a run: its memory, then the keys in which runs of it on the same task differ.

    Args:
        configs: of the runs, as plain values.
    """
    flat = [dict(flattened(config)) for config in configs]
    return [_name(own, [other for other in flat if _rivals(own, other)]) for own in flat]


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a config with its value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    differing = [
        f"{key.removeprefix('memory.')}={value}"
        for key, value in own.items()
        if key not in _ALIKE
        and not key.startswith(_ROOMS)
        and any(other.get(key, value) != value for other in others)
    ]
    return " ".join([own["memory.name"], *differing])


def _rivals(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(own[key] == other[key] for key in ("memory.name", "env.id"))
