"""A memory whose steps are a kernel over rows, and the arrays that a sequence of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from memrl.memory.kernels import steps
from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.lstm import RowController
from memrl.memory.kernels.sequence import KernelAccesses, array_of
from memrl.memory.kernels.threads import LEAST_ROWS, divide
from memrl.memory.ops.controlled import Memory
from memrl.memory.ops.gated import Leaves, owned

INDICES = {"order", "slot", "near", "counts", "slots", "last", "entry"}  # leaves of integers
Shapes: TypeAlias = dict[str, tuple[int, ...]]


class Kernel(NamedTuple):
    """One memory's types and sizes."""

    slots: type[Any]  # NamedTuple of the state's leaves
    kept: type[Any]  # NamedTuple of what a step keeps for its gradient
    sizes: Any  # NamedTuple of numbers; its type names the functions in ``ROW_STEPS``
    shapes: Shapes  # of each leaf of ``kept`` for one row


class RowMemory(Memory):
    """A memory on the CPU."""

    gates = RowController
    steps = True

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def sequence(
        self, start: Tensor, memory: Leaves, others: Leaves, *, trains: bool
    ) -> RowAccesses:
        return RowAccesses(self._kernel, start, memory, others)

    def step(
        self, asked: Tensor, start: Tensor, memory: Leaves, others: Leaves, *, donate: bool
    ) -> tuple[Tensor, Leaves]:
        kernel, rows = self._kernel, len(asked)
        before = kernel.slots(*map(array_of, memory))
        after = [torch.empty_like(leaf) for leaf in memory]
        initial, own = _initial_and_own(kernel, others, len(memory))
        kept = room(kernel.shapes, rows, dtype=before[0].dtype)
        reads = asked.new_empty(rows, kernel.sizes.reads)
        divide(
            steps.access,
            *(rows, LEAST_ROWS),
            *(kernel.sizes, start.numpy(), asked.numpy(), before, initial),
            *(kernel.slots(*(leaf.numpy() for leaf in after)), kernel.kept(*kept)),
            *(reads.numpy(), own, ()),
        )
        return reads, tuple(after)


class RowAccesses(KernelAccesses):
    """Keeps the state of every step."""

    def __init__(self, kernel: Kernel, start: Tensor, memory: Leaves, others: Leaves) -> None:
        (T, B), self._slots, self.sizes = start.shape, kernel.slots, kernel.sizes
        self._memory = [leaf.new_empty(T + 1, *leaf.shape) for leaf in memory]
        for own, leaf in zip(self._memory, memory, strict=True):
            own[0] = leaf
        initial, self.shared = _initial_and_own(kernel, others, len(memory))
        slots = kernel.slots(*(own.numpy() for own in self._memory))
        kept = room(kernel.shapes, T, B, dtype=slots[0].dtype)
        self.places = slots, initial, kernel.kept(*kept)

    def last(self) -> Leaves:
        return tuple(own[-1] for own in self._memory)

    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        self._d = [gradient(own[0], d) for own, d in zip(self._memory, d_last, strict=True)]
        self._d_initial = [torch.zeros_like(leaf) for leaf in self._d]
        # Each row has a gradient of the weights of its own, so that rows need not wait.
        rows = len(self._d[0])
        self._d_own = [self._d[0].new_zeros(rows, *weight.shape) for weight in self.shared]

    def _gradients(self) -> tuple[tuple[Any, Any], tuple[Array, ...], tuple[Array, ...]]:
        d, d_initial, d_own = (
            tuple(leaf.numpy() for leaf in leaves)
            for leaves in (self._d, self._d_initial, self._d_own)
        )
        return (self._slots(*d), self._slots(*d_initial)), self.shared, d_own

    def first(self) -> list[Tensor | None]:
        opening = [leaf.sum(0, keepdim=True) for leaf in self._d_initial]
        return [*self._d, *opening, *(leaf.sum(0) for leaf in self._d_own)]


def room(shapes: Shapes, *lead: int, dtype: Any) -> list[Array]:
    """Uninitialised arrays of these shapes, after their leading axes."""
    return [
        np.empty((*lead, *shape), np.int64 if name in INDICES else dtype)
        for name, shape in shapes.items()
    ]


def gradient(leaf: Tensor, given: Tensor | None) -> Tensor:
    """The gradient of a leaf, to be edited in place; zeros where none was ``given``."""
    if given is None:
        return torch.zeros_like(leaf)
    return owned(given)


def _initial_and_own(kernel: Kernel, others: Leaves, leaves: int) -> tuple[Any, tuple[Any, ...]]:
    initial, own = others[:leaves], others[leaves:]
    return kernel.slots(*map(array_of, initial)), tuple(map(array_of, own))
