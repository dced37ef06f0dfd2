"""A sparse memory whose steps are a kernel: one copy of it, edited in place and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memrl.memory.kernels import steps
from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.lstm import RowController
from memrl.memory.kernels.rows import Shapes, gradient, room
from memrl.memory.kernels.sequence import KernelAccesses, array_of
from memrl.memory.kernels.sparse import Gradient
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
    partners: int  # L, links that a slot keeps in each direction


def shapes(widths: Widths) -> tuple[Shapes, Shapes]:
    """Those of ``sparse.Small`` and of ``sparse.Kept``, for one row."""
    W, R, K, head, *_ = widths
    small = {"counts": (3,), "slots": (R, K), "weights": (R, K)}
    kept = {
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
    return small, kept


class SparseKernel(NamedTuple):
    """One memory's types and sizes."""

    small: type[Any]  # NamedTuple of the leaves that are not edited in place, as ``sparse.Small``
    kept: type[Any]  # NamedTuple of what a step keeps for its gradient, as ``sparse.Kept``
    sizes: Any  # NamedTuple of numbers; its type names the functions in ``ROW_STEPS``
    of_small: Shapes
    of_kept: Shapes


class SparseRows(Memory):
    """The leaves are the large ones; clock, used, written; and the other small ones.

    Of the large ones memory is the first, and last_access and oldest are the last.
    """

    gates = RowController
    steps = True

    def __init__(self, kernel: SparseKernel, dtype: str) -> None:
        self._kernel, self.sizes, self._dtype = kernel, kernel.sizes, dtype
        self.initial = kernel.small(*room(kernel.of_small, 1, dtype=dtype))
        for leaf in self.initial:
            leaf.fill(0)

    def kept(self, *lead: int) -> Any:
        """Arrays for what steps keep."""
        return self._kernel.kept(*room(self._kernel.of_kept, *lead, dtype=self._dtype))

    def small(self, leaves: Iterable[Tensor]) -> Any:
        """Their arrays, by name."""
        return self._kernel.small(*map(array_of, leaves))

    def sequence(
        self, start: Tensor, memory: Leaves, others: Leaves, *, trains: bool
    ) -> SparseAccesses:
        return SparseAccesses(self, start, memory)

    def step(
        self, asked: Tensor, start: Tensor, memory: Leaves, others: Leaves, *, donate: bool
    ) -> tuple[Tensor, Leaves]:
        large, small = self.parts(memory, donate=donate)
        after = [torch.empty_like(leaf) for leaf in small]
        rows = len(asked)
        reads = asked.new_empty(rows, self.initial.slots.shape[1] * self.sizes.word)
        divide(
            steps.access,
            *(rows, LEAST_ROWS),
            *(self.sizes, start.numpy(), asked.numpy(), self.small(small), self.initial),
            *(self.small(after), self.kept(rows), reads.numpy(), ()),
            tuple(leaf.numpy() for leaf in large),
        )
        return reads, whole(large, after)

    def parts(self, memory: Leaves, *, donate: bool) -> tuple[list[Tensor], list[Tensor]]:
        """The leaves that are edited in place, copied unless they are donated; the small ones."""
        first = len(memory) - len(self.initial) - 2  # three leaves are one of the small ones
        large, counts, others = memory[:first], memory[first : first + 3], memory[first + 3 :]
        if not (donate and all(leaf.is_contiguous() for leaf in large)):
            large = tuple(map(owned, large))
        return list(large), [torch.stack(counts, dim=1), *others]


class SparseAccesses(KernelAccesses):
    """Edits one copy of the memory, and back."""

    def __init__(self, how: SparseRows, start: Tensor, memory: Leaves) -> None:
        (T, B), self.sizes = start.shape, how.sizes
        self._large, small = how.parts(memory, donate=False)
        self._small = [leaf.new_empty(T + 1, *leaf.shape) for leaf in small]
        for leaves, leaf in zip(self._small, small, strict=True):
            leaves[0] = leaf
        self.places = how.small(self._small), how.initial, how.kept(T, B)
        self.rows = tuple(leaf.numpy() for leaf in self._large)
        self._leaves, self._weights = len(memory), len(self._large) + 4  # where ``weights`` is

    def last(self) -> Leaves:
        return whole(self._large, [leaves[-1] for leaves in self._small])

    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        memory, weights = self._large[0], self._small[2][0]
        self._d = gradient(memory, d_last[0]), gradient(weights, d_last[self._weights])

    def _gradients(self) -> tuple[tuple[Any, Any], tuple[Array, ...], tuple[Array, ...]]:
        d = Gradient(*(leaf.numpy() for leaf in self._d))
        undone = self._large[0].clone()  # a second backward pass needs it again
        return (d, d), (), (undone.numpy(),)

    def first(self) -> list[Tensor | None]:
        d: list[Tensor | None] = [None] * (2 * self._leaves)
        d[0], d[self._weights] = self._d
        return d


def whole(large: Sequence[Tensor], small: Sequence[Tensor]) -> Leaves:
    """All leaves; the inverse of ``SparseRows.parts``."""
    counts, *others = small
    return (*large, *(count.contiguous() for count in counts.unbind(1)), *others)
