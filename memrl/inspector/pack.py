"""Arrays as text for a page: fewer bits, differences from step to step, deflate, base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_EXACT: Final = 16  # numbers a step up to which float32 is kept
_FINE: Final = 1024  # … up to which 16 bits are kept; of more, 8


def pack(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Named arrays [T, ...] as a JSON value: ``parts`` that describe them, and their ``bytes``.

    Few numbers a step are kept as float32. More are rounded to multiples of a step: 65,535 levels,
    or 255 where they are very many; the lowest integer stands for what is not finite.
    Rounded numbers and integers are stored as differences from the step before, which are mostly
    zero. The bytes of all parts follow each other, compressed by zlib, in base64.
    """
    parts, chunks = [], []
    for name, values in arrays.items():
        kind, scale, levels = _rounded(values)
        parts.append({"name": name, "kind": kind, "shape": list(values.shape), "scale": scale})
        chunks.append(levels.tobytes())
    packed = zlib.compress(b"".join(chunks), level=6)
    return {"parts": parts, "bytes": base64.b64encode(packed).decode()}


def _rounded(values: NDArray[Any]) -> tuple[str, float, NDArray[Any]]:
    """The kind of numbers, what they are multiplied by when they are read, and the numbers."""
    if values.dtype.kind == "u":
        return values.dtype.str[1:], 1.0, _differences(values)
    size = values[0].size if len(values) else 0
    if size <= _EXACT:
        return "f4", 1.0, values.astype("<f4")
    kind, top = ("i2", 32_767) if size <= _FINE else ("i1", 127)
    known = np.isfinite(values)
    numbers = np.where(known, values, 0.0).astype(np.float32)
    scale = float(np.abs(numbers).max(initial=0.0)) / top or 1.0
    levels = np.where(known, np.rint(numbers / scale), -top - 1).astype(f"<{kind}")
    return kind, scale, _differences(levels)


def _differences(levels: NDArray[Any]) -> NDArray[Any]:
    """Row 0, then what each row differs by from the one before, modulo the type's range."""
    return np.concatenate([levels[:1], levels[1:] - levels[:-1]])
