"""The state of a core: a nested NamedTuple of tensors that lead with the batch axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

S = TypeVar("S")


def map_state(fn: Callable[..., Tensor], state: S, *others: S) -> S:
    """Apply ``fn`` leaf by leaf; every state must have the same structure."""
    if isinstance(state, Tensor):
        return fn(state, *others)  # type: ignore[return-value]
    if not isinstance(state, tuple):
        raise TypeError(f"a state is a tensor or a (named) tuple of states, not {type(state)}")
    parts = zip(state, *others, strict=True)
    return cast(S, _rebuild(state, [map_state(fn, *part) for part in parts]))


def select(state: S, rows: Tensor) -> S:
    """Rows of every leaf: ``rows`` is an index [M] or a mask [B]."""
    return map_state(lambda leaf: leaf[rows], state)


def detach(state: S) -> S:
    """The same values, detached from the graph."""
    return map_state(Tensor.detach, state)


def clone(state: S) -> S:
    """Detached copies; later in-place edits of the original do not change them."""
    return map_state(lambda leaf: leaf.detach().clone(), state)


def where(mask: Tensor, chosen: S, otherwise: S) -> S:
    """Row-wise choice by ``mask`` [B]; leaves may broadcast over B."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(mask.view(-1, *[1] * (b.dim() - 1)), a, b)

    return map_state(choose, chosen, otherwise)


def leaves(state: Any) -> list[Tensor]:
    """All tensors of a state, in field order."""
    if isinstance(state, Tensor):
        return [state]
    return [leaf for field in state for leaf in leaves(field)]


def flatten(state: Any, prefix: str = "") -> dict[str, Tensor]:
    """Leaves by dotted field name, e.g. ``{"controller.h": ...}``."""
    if isinstance(state, Tensor):
        return {prefix: state}
    names = getattr(state, "_fields", None) or [str(i) for i in range(len(state))]
    flat: dict[str, Tensor] = {}
    for name, field in zip(names, state, strict=True):
        flat |= flatten(field, f"{prefix}.{name}" if prefix else name)
    return flat


def unflatten(like: S, flat: Mapping[str, Tensor]) -> S:
    """The inverse of ``flatten``, in the structure of ``like``.

    Raises:
        ValueError: a leaf is missing or left over.
    """
    wanted = list(flatten(like))
    if set(wanted) != set(flat):
        missing, extra = sorted(set(wanted) - set(flat)), sorted(set(flat) - set(wanted))
        raise ValueError(f"the saved state has other leaves: missing {missing}, unknown {extra}")
    values = iter([flat[name] for name in wanted])
    return map_state(lambda _: next(values), like)


def loaded(own: S, saved: Mapping[str, Tensor]) -> S:
    """Copies of saved leaves (see ``flatten``), on the devices of the state ``own``.

    Raises:
        ValueError: as ``unflatten``.
    """
    return map_state(lambda leaf, kept: kept.to(leaf.device, copy=True), own, unflatten(own, saved))


def nbytes(state: Any) -> int:
    """Bytes that the leaves occupy."""
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves(state))


def _rebuild(like: Any, fields: list[Any]) -> Any:
    make = getattr(type(like), "_make", None)
    return make(fields) if make is not None else tuple(fields)
