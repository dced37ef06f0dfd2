"""A sequence through a matrix memory, a piece at a time, and no NaN out of its episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.memory.core import MemoryCore
from memrl.memory.ops.spoiled import is_spoiled, spoiled_so_far, without_spoiled
from memrl.memory.state import leaves, map_state

S = TypeVar("S")
PIECE = 64  # steps at once: products of T² steps stay smaller than those of K × V a step


def in_pieces(
    core: MemoryCore[Any],
    piece: Callable[..., tuple[Tensor, S]],
    x: Float[Tensor, "T B X"],
    state: S,
    start: Bool[Tensor, "T B"],
) -> tuple[Tensor, S]:
    """``piece(x, state, start)`` over at most 64 steps at a time, the state handed over.

    The rows that start with a piece are reset before it, and it sees no NaN: spoiled steps and
    states come as zeros, and the rest of their episode is NaN afterwards.
    """
    initial, seen = core.initial_state(1), []
    for x_part, start_part in zip(x.split(PIECE), start.split(PIECE), strict=True):  # type: ignore[no-untyped-call]
        state = core.reset(state, initial, start_part[0])
        lost = torch.stack([is_spoiled(leaf.flatten(1)) for leaf in leaves(state)]).any(dim=0)
        x_part, spoiled = without_spoiled(x_part)
        y, state = piece(x_part, _fill(state, lost, 0.0), start_part)
        gone = spoiled_so_far(spoiled, lost, start_part)
        seen.append(y.masked_fill(gone.unsqueeze(-1), torch.nan))
        state = _fill(state, gone[-1], torch.nan)
    return torch.cat(seen), state


def _fill(state: S, rows: Tensor, value: float) -> S:
    """Every leaf of these rows [B] filled with a value."""
    return map_state(
        lambda leaf: leaf.masked_fill(rows.view(-1, *[1] * (leaf.dim() - 1)), value), state
    )
