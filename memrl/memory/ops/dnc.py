"""The accesses of a DNC in torch, with the gradient by hand; the fallback of its kernel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memrl.memory.ops.access import Access, access, reverse
from memrl.memory.ops.compiled import compiled
from memrl.memory.ops.controlled import Memory, StepAccesses
from memrl.memory.ops.gated import Leaves
from memrl.memory.ops.host import steps_with_start


class TorchMemory(Memory):
    """A DNC's memory; the leaves are those of ``Access``.

    Args:
        clip: bound of the interface vector.
        compile: compile a step, forward and backward.
    """

    def __init__(self, clip: float, compile: bool) -> None:
        self._clip, self._compile = clip, compile

    def sequence(
        self, start: Tensor, memory: Leaves, others: Leaves, *, trains: bool
    ) -> TorchAccesses:
        return TorchAccesses(self._clip, self._compile, start, memory, others, trains)


class TorchAccesses(StepAccesses):
    """Keeps what every step needs for its gradient."""

    def __init__(
        self,
        clip: float,
        compile: bool,
        start: Tensor,
        memory: Leaves,
        initial: Leaves,
        trains: bool,
    ) -> None:
        self._clip, self._trains = clip, trains
        self._access = compiled(access) if compile else access
        self._reverse = compiled(reverse) if compile else reverse
        self._start, self._resets = start, steps_with_start(start)
        self._initial, self._now = initial, memory
        self._kept: list[Leaves] = []

    def step(self, t: int, asked: Tensor, reads: Tensor) -> None:
        if self._resets[t]:
            self._now = _reset(self._start[t], self._now, self._initial)
        after, kept = self._access(asked, Access(reads, *self._now), self._clip)
        reads.copy_(after.reads.flatten(1))
        self._now = after[1:]
        if self._trains:
            self._kept.append(kept)

    def last(self) -> Leaves:
        return self._now

    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        self._d = tuple(
            torch.zeros_like(leaf) if d is None else d
            for leaf, d in zip(self._now, d_last, strict=True)
        )
        self._zeros = tuple(torch.zeros_like(leaf[:1]) for leaf in self._d)

    def reverse(self, t: int, asked: Tensor, d_reads: Tensor, d_asked: Tensor) -> None:
        W = self._d[0].shape[2]
        d_after = Access(d_reads.reshape(len(d_reads), -1, W), *self._d)
        d, d_before = self._reverse(self._kept[t], d_after, self._clip)
        d_asked.copy_(d)
        # Usage passes no gradient to the previous write weights.
        d_before = d_before._replace(write_weights=torch.zeros_like(d_before.write_weights))
        self._d = d_before[1:]
        if self._resets[t]:
            self._d = _reset(self._start[t], self._d, self._zeros)

    def first(self) -> list[Tensor | None]:
        return [*self._d, *[None] * len(self._d)]  # nothing of the initial memory is learned


def _reset(start: Tensor, now: Leaves, initial: Leaves) -> Leaves:
    """The initial leaves where an episode starts; selected, since 0 times NaN is NaN."""
    return tuple(
        torch.where(start.view(-1, *[1] * (leaf.dim() - 1)), first, leaf)
        for leaf, first in zip(now, initial, strict=True)
    )
