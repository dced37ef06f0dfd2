"""Matrix memories, which process a sequence in chunks and keep NaN inside its episode."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.ops.nonfinite import (
    is_nonfinite,
    nonfinite_so_far,
    with_nan,
    without_nonfinite,
)
from memrl.memory.state import leaves, map_state

S = TypeVar("S")
CHUNK = 64  # steps; the T² products of a chunk stay smaller than the K · V products of every step


class MatrixMemory(MemoryCore[S]):
    """A memory whose heads each hold a matrix, keys by values.

    The subclass projects an input to queries, keys and values, followed by its own parts, and
    implements ``_attend`` for a chunk.

    Args:
        in_dim: width of the input features.
        hidden_dim: width of the output.
        heads: number of matrices.
        head_dim: K, width of a key and of a value.
        parts: widths of the other parts of a projected input.
    """

    def __init__(
        self, in_dim: int, *, hidden_dim: int, heads: int, head_dim: int, parts: list[int]
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.heads, self.head_dim = heads, head_dim
        self.parts = [3 * heads * head_dim, *parts]

    @abstractmethod
    def _attend(self, x: Tensor, state: S, start: Tensor) -> tuple[Tensor, S]:
        """Process a chunk at once.

        Args:
            x: projected inputs [T, B, ·], all finite.
            state: before the first step, all finite; rows that start there are already reset.
            start: bool [T, B].

        Returns:
            What ``_emit`` takes, [T, B, ·], and the state after the last step.
        """

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        """q, k and v [..., 3, heads, K], then the other parts of a projected input."""
        qkv, *others = x.split_with_sizes(self.parts, -1)
        return qkv.unflatten(-1, (3, self.heads, self.head_dim)), *others  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, state: S, start: Tensor) -> Unrolled:
        seen, state = self._in_chunks(self._project(x), state, start)
        return Unrolled(self._emit(seen), state)

    def _in_chunks(self, x: Tensor, state: S, start: Tensor) -> tuple[Tensor, S]:
        """``_attend`` chunk by chunk. After a step that is not finite, its episode is NaN."""
        initial, outputs = self.initial_state(1), []
        for x_c, start_c in zip(x.split(CHUNK), start.split(CHUNK), strict=True):  # type: ignore[no-untyped-call]
            state = self.reset(state, initial, start_c[0])
            before = torch.stack([is_nonfinite(leaf.flatten(1)) for leaf in leaves(state)]).any(0)
            x_c, nonfinite = without_nonfinite(x_c)
            seen, state = self._attend(x_c, _fill(state, before, 0.0), start_c)
            lost = nonfinite_so_far(nonfinite, before, start_c)
            outputs.append(with_nan(seen, lost))
            state = _fill(state, lost[-1], torch.nan)
        return torch.cat(outputs), state


def _fill(state: S, rows: Tensor, value: float) -> S:
    """Set every leaf to ``value`` in these rows [B]."""
    return map_state(
        lambda leaf: leaf.masked_fill(rows.view(-1, *[1] * (leaf.dim() - 1)), value), state
    )
