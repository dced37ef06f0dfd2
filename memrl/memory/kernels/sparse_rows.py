"""A sparse memory whose steps are a kernel: one copy of it, edited in place and back."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from memrl.memory.kernels import steps
from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.lstm import RowController
from memrl.memory.kernels.rows import gradient, room
from memrl.memory.kernels.sequence import KernelAccesses, array_of
from memrl.memory.kernels.sparse import Gradient, Kept, Sizes, Small
from memrl.memory.kernels.threads import LEAST_ROWS, divide
from memrl.memory.ops.controlled import Memory
from memrl.memory.ops.gated import Leaves, owned


class Widths(NamedTuple):
    """Of a memory."""

    word_dim: int  # W
    read_heads: int  # R
    neighbours: int  # K
    head: int  # of one head's part of the interface vector
    block: int  # slots whose oldest access is known together


class SparseRows(Memory):
    """The leaves are memory, last_access, oldest; clock, used, written; slots, weights."""

    gates = RowController
    steps = True

    def __init__(self, widths: Widths, sizes: Sizes) -> None:
        self.sizes, (W, R, K, head, _) = sizes, widths
        self.shapes = {
            "interface": (R * head,),
            "slot": (1,),
            "old": (R * K + 1, W),
            "near": (R, K),
            "content": (R, K),
            "cosine": (R, K),
            "norms": (R, K),
            "lengths": (R,),
            "share": (2 * R * K + 1,),
        }
        dtype = sizes.one.dtype  # type: ignore[attr-defined]
        counts: Array = np.zeros((1, 3), np.int64)
        self.initial = Small(counts, np.zeros((1, R, K), np.int64), np.zeros((1, R, K), dtype))

    def kept(self, *lead: int) -> Kept:
        """Arrays for what steps keep."""
        return Kept(*room(self.shapes, *lead, dtype=self.initial.weights.dtype))

    def sequence(
        self, start: Tensor, memory: Leaves, others: Leaves, *, trains: bool
    ) -> SparseAccesses:
        return SparseAccesses(self, start, memory)

    def step(
        self, asked: Tensor, start: Tensor, memory: Leaves, others: Leaves, *, donate: bool
    ) -> tuple[Tensor, Leaves]:
        large, small = _large(memory, donate=donate), _small(memory)
        after = [torch.empty_like(leaf) for leaf in small]
        rows = len(asked)
        reads = asked.new_empty(rows, self.initial.slots.shape[1] * self.sizes.word)
        divide(
            steps.access,
            *(rows, LEAST_ROWS),
            *(self.sizes, start.numpy(), asked.numpy(), Small(*map(array_of, small))),
            *(self.initial, Small(*(leaf.numpy() for leaf in after)), self.kept(rows)),
            *(reads.numpy(), (), tuple(leaf.numpy() for leaf in large)),
        )
        return reads, _leaves(large, after)


class SparseAccesses(KernelAccesses):
    """Edits one copy of the memory, and back."""

    def __init__(self, how: SparseRows, start: Tensor, memory: Leaves) -> None:
        (T, B), self.sizes = start.shape, how.sizes
        self._large, small = _large(memory, donate=False), _small(memory)
        self._small = [leaf.new_empty(T + 1, *leaf.shape) for leaf in small]
        for leaves, leaf in zip(self._small, small, strict=True):
            leaves[0] = leaf
        places = Small(*(leaf.numpy() for leaf in self._small))
        self.places = places, how.initial, how.kept(T, B)
        self.rows = tuple(leaf.numpy() for leaf in self._large)

    def last(self) -> Leaves:
        return _leaves(self._large, [leaves[-1] for leaves in self._small])

    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        memory, weights = self._large[0], self._small[2][0]
        self._d = gradient(memory, d_last[0]), gradient(weights, d_last[-1])

    def _gradients(self) -> tuple[tuple[Any, Any], tuple[Array, ...], tuple[Array, ...]]:
        d = Gradient(*(leaf.numpy() for leaf in self._d))
        undone = self._large[0].clone()  # a second backward pass needs it again
        return (d, d), (), (undone.numpy(),)

    def first(self) -> list[Tensor | None]:
        d_memory, d_weights = self._d
        return [d_memory, *[None] * 6, d_weights, *[None] * 8]


def _large(memory: Leaves, *, donate: bool) -> list[Tensor]:
    """The leaves that are edited in place; copies, unless they are donated."""
    large = memory[:3]
    if donate and all(leaf.is_contiguous() for leaf in large):
        return list(large)
    return [owned(leaf) for leaf in large]


def _small(memory: Leaves) -> tuple[Tensor, Tensor, Tensor]:
    """The leaves of ``Small``."""
    clock, used, written, slots, weights = memory[3:]
    return torch.stack([clock, used, written], dim=1), slots, weights


def _leaves(large: Sequence[Tensor], small: Sequence[Tensor]) -> Leaves:
    counts, slots, weights = small
    return (*large, *(count.contiguous() for count in counts.unbind(1)), slots, weights)


@cache
def memory(dtype: str, kernel: str, widths: tuple[int, ...], *constants: float) -> SparseRows:
    """The memory of this kernel; see ``Widths``. ``constants``: clip, eps, δ of an access."""
    W, _, _, head, block = widths
    typed = map(np.dtype(dtype).type, (1, *constants))
    sizes = Sizes(W, head, block, *typed)
    importlib.import_module(f"memrl.memory.kernels.{kernel}")  # which says what is done with a row
    return SparseRows(Widths(*widths), sizes)
