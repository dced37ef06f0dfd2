"""A sparse memory whose steps are a kernel: one copy of it, edited in place and back."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.lstm import RowController
from memrl.memory.kernels.rows import each_step, gradient, room
from memrl.memory.kernels.sparse import Kept, Large, Sizes, Small
from memrl.memory.kernels.threads import LEAST_ROWS, Calls
from memrl.memory.ops.controlled import Accesses, Memory
from memrl.memory.ops.gated import Leaves


class Widths(NamedTuple):
    """Of a memory."""

    word_dim: int  # W
    read_heads: int  # R
    neighbours: int  # K
    head: int  # of one head's part of the interface vector
    block: int  # slots whose oldest access is known together


class SparseRows(Memory):
    """The leaves are memory, last_access, oldest; clock, used, written; slots, weights.

    Args:
        kernel: the module with ``access`` and ``reverse``.
        widths: of the memory.
        sizes: the numbers that the kernel takes.
    """

    gates = RowController
    steps = True

    def __init__(self, kernel: Any, widths: Widths, sizes: Sizes) -> None:
        self.kernel, self.sizes, (W, R, K, head, _) = kernel, sizes, widths
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

    def sequence(
        self, start: Tensor, memory: Leaves, others: Leaves, *, trains: bool
    ) -> SparseAccesses:
        return SparseAccesses(self, start, memory, trains)

    def step(
        self, asked: Tensor, start: Tensor, memory: Leaves, others: Leaves, *, donate: bool
    ) -> tuple[Tensor, Leaves]:
        accesses = SparseAccesses(self, start.unsqueeze(0), memory, False, donate=donate)
        reads = asked.new_empty(len(asked), memory[6].shape[1] * self.sizes.word)
        accesses.step(0, asked, reads)
        return reads, accesses.last()


class SparseAccesses(Accesses):
    """Runs the kernel step by step. ``donate``: edit the leaves of ``memory`` themselves."""

    def __init__(
        self,
        how: SparseRows,
        start: Tensor,
        memory: Leaves,
        trains: bool,
        *,
        donate: bool = False,
    ) -> None:
        (T, B), (*large, clock, used, written, slots, weights) = start.shape, memory
        self._how, self._start = how, list(start.numpy())
        self._access = Calls(how.kernel.access, B // LEAST_ROWS)
        self._reverse = Calls(how.kernel.reverse, B // LEAST_ROWS)
        states, keeps = (T + 1, T) if trains else (2, 1)
        own = donate and all(leaf.is_contiguous() for leaf in large)
        self._large = [
            leaf if own else leaf.clone(memory_format=torch.contiguous_format) for leaf in large
        ]
        small = (torch.stack([clock, used, written], dim=1), slots, weights)
        self._small = [leaf.new_empty(states, *leaf.shape) for leaf in small]
        for leaves, leaf in zip(self._small, small, strict=True):
            leaves[0] = leaf
        self._places = each_step(Small, [leaf.numpy() for leaf in self._small])
        self._kept = each_step(Kept, room(how.shapes, keeps, B, dtype=self._small[2].numpy().dtype))
        self._rows = Large(*(leaf.numpy() for leaf in self._large))

    def step(self, t: int, asked: Tensor, reads: Tensor) -> None:
        how, states = self._how, len(self._places)
        before, after = self._places[t % states], self._places[(t + 1) % states]
        self._access(
            *(how.sizes, self._start[t], asked.numpy(), self._rows),
            *(before, how.initial, after, self._kept[t % len(self._kept)], reads.numpy()),
        )

    def last(self) -> Leaves:
        counts, slots, weights = (own[len(self._start) % len(own)] for own in self._small)
        return (*self._large, *(count.contiguous() for count in counts.unbind(1)), slots, weights)

    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        memory, weights = self._large[0], self._small[2][0]
        self._undone = memory.clone()
        self._d_memory = gradient(memory, d_last[0])
        self._d_weights = gradient(weights, d_last[-1])

    def reverse(self, t: int, asked: Tensor, d_reads: Tensor, d_asked: Tensor) -> None:
        how = self._how
        self._reverse(
            *(how.sizes, self._start[t], asked.numpy(), self._undone.numpy()),
            *(self._places[t], how.initial, self._places[t + 1], self._kept[t]),
            *(d_reads.numpy(), d_asked.numpy()),
            *(self._d_memory.numpy(), self._d_weights.numpy()),
        )

    def first(self) -> list[Tensor | None]:
        return [self._d_memory, *[None] * 6, self._d_weights, *[None] * 8]


@cache
def memory(dtype: str, kernel: str, widths: tuple[int, ...], *constants: float) -> SparseRows:
    """The memory of this kernel; see ``Widths``. ``constants``: clip, eps, δ of an access."""
    W, _, _, head, block = widths
    typed = map(np.dtype(dtype).type, (1, *constants))
    sizes = Sizes(W, head, block, *typed)
    module = importlib.import_module(f"memrl.memory.kernels.{kernel}")
    return SparseRows(module, Widths(*widths), sizes)
