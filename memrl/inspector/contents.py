"""What a memory stores: the matrices of its state that are small enough to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from torch import Tensor

# Fields of a state that hold what a memory stores.
CONTENTS: Final = ("memory", "items", "facts", "keys", "values", "link")
_MOST: Final = 16_384  # numbers of a part of the memory that are kept at each step


def contents(state: Any) -> dict[str, Tensor]:
    """What a memory stores: the matrices [B, N, W] of its state, by their fields."""
    return dict(_matrices(state, ""))


def _matrices(state: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(state, tuple):
        return
    names = getattr(state, "_fields", map(str, range(len(state))))
    for name, value in zip(names, state, strict=True):
        if not isinstance(value, Tensor):
            layer = prefix if hasattr(state, "_fields") else f"{prefix}{name}."
            yield from _matrices(value, layer)
        elif name in CONTENTS and value.dim() == 3 and value.is_floating_point():
            if 0 < value[0].numel() <= _MOST:
                yield f"{prefix}{name}", value
