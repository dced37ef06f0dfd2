"""A memory whose steps are a kernel over rows: buffers for all steps, and a call for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.lstm import RowController
from memrl.memory.kernels.threads import LEAST_ROWS, Calls, call
from memrl.memory.ops.controlled import Accesses, Memory
from memrl.memory.ops.gated import Leaves

INDICES = {"order", "slot", "near"}  # leaves of what is kept that are indices


Shapes: TypeAlias = dict[str, tuple[int, ...]]


class Kernel(NamedTuple):
    """One memory's kernel, and its sizes."""

    slots: type[Any]  # NamedTuple of the state's leaves
    kept: type[Any]  # NamedTuple of what a step keeps for its gradient
    access: Callable[..., None]
    reverse: Callable[..., None]
    sizes: Any  # NamedTuple of numbers, which the functions take
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
        return RowAccesses(self._kernel, start, memory, others, trains)

    def step(
        self, asked: Tensor, start: Tensor, memory: Leaves, others: Leaves, *, donate: bool
    ) -> tuple[Tensor, Leaves]:
        kernel, rows = self._kernel, len(asked)
        before = kernel.slots(*map(_array, memory))
        after = [torch.empty_like(leaf) for leaf in memory]
        initial, own = _initial_and_own(kernel, others, len(memory))
        dtype = before[0].dtype
        reads = asked.new_empty(rows, kernel.sizes.reads)
        call(
            kernel.access,
            rows // LEAST_ROWS,
            *(kernel.sizes, start.numpy(), asked.numpy(), before, initial),
            kernel.slots(*(leaf.numpy() for leaf in after)),
            kernel.kept(*room(kernel.shapes, rows, dtype=dtype)),
            *(reads.numpy(), *own),
        )
        return reads, tuple(after)


class RowAccesses(Accesses):
    """Runs a kernel step by step."""

    def __init__(
        self, kernel: Kernel, start: Tensor, memory: Leaves, others: Leaves, trains: bool
    ) -> None:
        T, B = start.shape
        self._kernel, self._start = kernel, list(start.numpy())
        self._access = Calls(kernel.access, B // LEAST_ROWS)
        self._reverse = Calls(kernel.reverse, B // LEAST_ROWS)
        states, keeps = (T + 1, T) if trains else (min(T + 1, 3), 1)
        self._memory = [leaf.new_empty(states, *leaf.shape) for leaf in memory]
        for own, leaf in zip(self._memory, memory, strict=True):
            own[0] = leaf
        self._initial, self._own = _initial_and_own(kernel, others, len(memory))
        arrays = [own.numpy() for own in self._memory]
        self._slots = each_step(kernel.slots, arrays)
        self._kept = each_step(kernel.kept, room(kernel.shapes, keeps, B, dtype=arrays[0].dtype))

    def step(self, t: int, asked: Tensor, reads: Tensor) -> None:
        before, after = self._slots[self._place(t)], self._slots[self._place(t + 1)]
        kept = self._kept[t % len(self._kept)]
        self._access(
            *(self._kernel.sizes, self._start[t], asked.numpy()),
            *(before, self._initial, after, kept, reads.numpy(), *self._own),
        )

    def _place(self, t: int) -> int:
        """Where the state before step t is; index 0 keeps the first one."""
        return t if t < len(self._slots) else 1 + (t - 1) % 2

    def last(self) -> Leaves:
        return tuple(own[self._place(len(self._start))] for own in self._memory)

    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        self._d = [gradient(own[0], d) for own, d in zip(self._memory, d_last, strict=True)]
        self._d_initial = [torch.zeros_like(leaf) for leaf in self._d]
        # Each row has a gradient of the weights of its own, so that rows need not wait.
        rows = len(self._d[0])
        self._d_own = [self._d[0].new_zeros(rows, *weight.shape) for weight in self._own]
        slots = self._kernel.slots
        self._d_slots = slots(*(leaf.numpy() for leaf in self._d))
        self._d_first = slots(*(leaf.numpy() for leaf in self._d_initial))

    def reverse(self, t: int, asked: Tensor, d_reads: Tensor, d_asked: Tensor) -> None:
        self._reverse(
            *(self._kernel.sizes, self._start[t], asked.numpy()),
            *(self._slots[t], self._initial, self._slots[t + 1], self._kept[t]),
            *(d_reads.numpy(), d_asked.numpy(), self._d_slots, self._d_first, *self._own),
            *(leaf.numpy() for leaf in self._d_own),
        )

    def first(self) -> list[Tensor | None]:
        opening = [leaf.sum(0, keepdim=True) for leaf in self._d_initial]
        return [*self._d, *opening, *(leaf.sum(0) for leaf in self._d_own)]


def room(shapes: Shapes, *lead: int, dtype: Any) -> list[Array]:
    """Uninitialised arrays for what steps keep."""
    return [
        np.empty((*lead, *shape), np.int64 if name in INDICES else dtype)
        for name, shape in shapes.items()
    ]


def gradient(leaf: Tensor, given: Tensor | None) -> Tensor:
    """The gradient of a leaf, to be edited in place; zeros where none was ``given``."""
    if given is None:
        return torch.zeros_like(leaf)
    return given.clone(memory_format=torch.contiguous_format)


def each_step(kind: type[Any], leaves: Sequence[Array]) -> list[Any]:
    """Leaves [T, B, ...] as a NamedTuple for each step."""
    return [kind(*step) for step in zip(*map(list, leaves), strict=True)]


def _array(leaf: Tensor) -> Array:
    array: Array = leaf.detach().contiguous().numpy()
    return array


def _initial_and_own(kernel: Kernel, others: Leaves, leaves: int) -> tuple[Any, tuple[Any, ...]]:
    initial, own = others[:leaves], others[leaves:]
    return kernel.slots(*map(_array, initial)), tuple(map(_array, own))
