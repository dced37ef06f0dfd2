"""Names that keep runs of one memory apart where more than their seed differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# What a run may differ in and still be another seed of the same method.
_NO_DIFFERENCE: Final = frozenset(
    {
        "seed",
        "device",
        "threads",
        "compile",
        "evaluate.episodes",
        "evaluate.max_steps",
        "evaluate.sequences",
    }
)
_ELSEWHERE: Final = ("run.", "track.")  # groups that do not change what is learned


def labels_of(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One name a run: its memory, then the keys in which runs of it on the same task differ.

    Args:
        configs: of the runs, as plain values.
    """
    flat = [dict(dotted_items(config)) for config in configs]
    return [_name(own, [other for other in flat if _same_method(own, other)]) for own in flat]


def dotted_items(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a config with its value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from dotted_items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    differing = [
        f"{key.removeprefix('memory.')}={value}"
        for key, value in own.items()
        if key not in _NO_DIFFERENCE
        and not key.startswith(_ELSEWHERE)
        and any(other.get(key, value) != value for other in others)
    ]
    return " ".join([own["memory.name"], *differing])


def _same_method(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("memory.name", "env.id", "task.name")  # of memrl train, of memrl fit
    return all(own.get(key) == other.get(key) for key in keys)
