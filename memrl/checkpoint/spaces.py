"""Gymnasium spaces as plain data, for files that contain no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from memrl.rollout.tokens import Tokens


def space_to_data(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space of numbers, Tokens or text, or a Dict of these, as nested plain values.

    Text spaces lose their length and characters, which nothing in memrl reads.

    Raises:
        ValueError: the space is of another kind.
    """
    match space:
        case spaces.Box():
            bounds = {"low": _bound(space.low), "high": _bound(space.high)}
            return {"Box": {**bounds, "shape": list(space.shape), "dtype": str(space.dtype)}}
        case spaces.Discrete():
            return {"Discrete": {"n": int(space.n), "start": int(space.start)}}
        case Tokens():
            return {"Tokens": {"num_symbols": space.num_symbols, "length": space.length}}
        case spaces.MultiDiscrete():
            return {"MultiDiscrete": {"nvec": space.nvec.tolist(), "start": space.start.tolist()}}
        case spaces.MultiBinary():
            return {
                "MultiBinary": {"n": space.n if isinstance(space.n, int) else list(space.shape)}
            }
        case spaces.Dict():
            return {"Dict": {name: space_to_data(part) for name, part in space.items()}}
    if space.dtype is not None and space.dtype.kind == "U":
        return {"Text": {}}
    raise ValueError(f"a {type(space).__name__} space cannot be written to a file")


def space_from_data(data: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that `space_to_data` was given.

    Raises:
        ValueError: the data does not describe a space.
    """
    try:
        ((kind, fields),) = data.items()
        return _BUILD[kind](fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{data!r} does not describe a space") from error


def _bound(bound: np.ndarray[Any, np.dtype[Any]]) -> Any:
    """One number if all entries are equal, else nested lists."""
    flat = bound.reshape(-1)
    return flat[0].item() if flat.size and (flat == flat[0]).all() else bound.tolist()


def _box(fields: Mapping[str, Any]) -> spaces.Space[Any]:
    dtype, shape = np.dtype(fields["dtype"]), tuple(fields["shape"])
    low, high = (np.full(shape, fields[name], dtype=dtype) for name in ("low", "high"))
    return spaces.Box(low, high, dtype=dtype.type)


_BUILD: dict[str, Callable[[Mapping[str, Any]], spaces.Space[Any]]] = {
    "Box": _box,
    "Discrete": lambda fields: spaces.Discrete(fields["n"], start=fields["start"]),
    "MultiDiscrete": lambda fields: spaces.MultiDiscrete(
        np.array(fields["nvec"]), start=np.array(fields["start"])
    ),
    "MultiBinary": lambda fields: spaces.MultiBinary(
        n if isinstance(n := fields["n"], int) else tuple(n)
    ),
    "Dict": lambda fields: spaces.Dict({n: space_from_data(part) for n, part in fields.items()}),
    "Tokens": lambda fields: Tokens(fields["num_symbols"], fields["length"]),
    "Text": lambda fields: spaces.Text(1),
}
