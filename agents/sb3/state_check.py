"""Whether a value is a state of a memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from memrl.memory import state as states


def check_state(state: Any, wanted: Any, rows: int | None) -> int | None:
    """The number of rows of a state; None if it has no leaves.

    Args:
        state: what the caller gave.
        wanted: a state of this memory, of one row.
        rows: the number that is allowed; None: any.

    Raises:
        ValueError: it is no state of this memory, or its dtype or number of rows differs.
    """
    if not _alike(state, wanted):
        raise ValueError(
            f"the state is {_described(state)}, allowed: what predict returned, "
            f"{_described(wanted)} with B rows, or None at the start"
        )
    own = states.flatten(wanted)
    for name, leaf in states.flatten(state).items():
        if leaf.dtype != own[name].dtype:
            raise ValueError(
                f"{name} of the state is {leaf.dtype}, allowed: {own[name].dtype}, as predict "
                "returned it"
            )
    sizes = {len(leaf) for leaf in states.leaves(state)}
    if len(sizes) > 1:
        raise ValueError(f"the state has leaves of {sorted(sizes)} rows, allowed: one number")
    found = next(iter(sizes), None)
    if rows is not None and found not in (None, rows):
        raise ValueError(f"the state has {found} rows, allowed: {rows}, as the observation")
    return found


def _alike(state: Any, wanted: Any) -> bool:
    if isinstance(wanted, Tensor):
        return isinstance(state, Tensor) and state.shape[1:] == wanted.shape[1:] and state.dim() > 0
    return (
        type(state) is type(wanted)
        and len(state) == len(wanted)
        and all(map(_alike, state, wanted))
    )


def _described(value: Any) -> str:
    """``GRUState(h [B, 64])`` of a state, else the type."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    if not isinstance(value, tuple) or not _all_tensors(value):
        inside = (
            ", ".join(sorted({type(part).__name__ for part in value}))
            if (isinstance(value, tuple | list))
            else ""
        )
        return f"a {type(value).__name__}" + (f" of {inside}" if inside else "")
    parts = states.flatten(value).items()
    leaves = ", ".join(f"{k} {['B', *leaf.shape[1:]]}".replace("'", "") for k, leaf in parts)
    return f"{type(value).__name__}({leaves})"


def _all_tensors(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_all_tensors, value))
    return isinstance(value, Tensor)
