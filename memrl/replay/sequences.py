"""Prioritised replay of sequences: every step is kept once, a core's state at every stride."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from memrl.memory import state as states
from memrl.replay.ring import Items, Ring
from memrl.replay.spill import nbytes, place
from memrl.replay.sum_tree import SumTree

_LEAST: Final = 1e-6  # of a priority: what was learned without error is still drawn, if rarely


class Shape(NamedTuple):
    """Which sequences a replay offers."""

    length: int  # L, steps of a sequence
    stride: int  # steps between the first ones of two sequences of a copy


class Drawn(NamedTuple):
    """M sequences of L steps."""

    number: Tensor  # int64 [M]  of each sequence in the replay
    steps: dict[str, Tensor]  # each [L, M, ...], by the names they were added under
    time: Tensor  # int64 [L, M]  when each step was added, counted from 0
    copy: Tensor  # int64 [M]  the copy of the environment that they are of
    state: Any  # the core's before the first step, leaves [M, ...]
    weight: Tensor  # [M]  importance, 1 at most


@final
class SequenceReplay:
    """The last steps of B copies, drawn as sequences that begin at every ``stride``-th step.

    Sequences overlap where ``stride`` is below their length, and share their steps. One can be
    drawn when all of its steps are there and none was overwritten. The chance is in proportion to
    priority^alpha (Schaul et al. 2016, eq. 1); a new sequence has the highest priority so far.

    Args:
        capacity: steps held at most, those of all copies together; rounded down to whole strides.
        shape: of the sequences.
        example: entries of one step of every copy, each [B, ...].
        state: of the core, leaves [B, ...].
        alpha: 0 draws uniformly, 1 in proportion to the priority.
        memory_limit: GB above which everything lies in mapped files.
        folder: of those files; by default the system's temporary folder.

    Raises:
        ValueError: no sequence would fit, or there is no room; see ``place``.
    """

    def __init__(
        self,
        capacity: int,
        shape: Shape,
        example: Items,
        state: Any,
        *,
        alpha: float,
        memory_limit: float | None = None,
        folder: Path | None = None,
    ) -> None:
        first = next(iter(example.values()))
        B, device = len(first), first.device
        self.copies, self.shape, self.alpha = B, shape, alpha
        self.span = capacity // B // shape.stride * shape.stride  # C, steps of each copy
        if self.span < shape.length:
            least = -(-shape.length // shape.stride) * shape.stride * B
            raise ValueError(
                f"a replay of {capacity:,} steps holds {self.span} of each of {B} copies, but a "
                f"sequence takes {shape.length}; allowed: at least {least:,} steps"
            )
        self._like = state
        row = {name: value.unsqueeze(0) for name, value in example.items()}
        leaves = {name: leaf.unsqueeze(0) for name, leaf in states.flatten(state).items()}
        self._slots = self.span // shape.stride  # K, sequences of each copy
        size = nbytes(self.span, row) + nbytes(self._slots, leaves)
        allocate = place(size, memory_limit, folder, device)
        self.steps = Ring(self.span, row, allocate)
        self.states = Ring(self._slots, leaves, allocate) if leaves else None
        self.tree = SumTree(self._slots * B, device)
        self._rows = torch.arange(B, device=device)
        self._highest = torch.ones((), dtype=torch.float64, device=device)

    @property
    def time(self) -> int:
        """Steps of each copy that were added so far."""
        return self.steps.added

    def __len__(self) -> int:
        """Sequences that can be drawn."""
        length, stride = self.shape
        oldest = -(-max(0, self.time - self.span) // stride)
        newest = (self.time - length) // stride
        return max(0, newest - oldest + 1) * self.copies

    def keep(self, state: Any) -> None:
        """The core's state before the step that is added next; a copy, where it is needed."""
        if self.time % self.shape.stride == 0 and self.states is not None:
            self.states.add({k: v.unsqueeze(0) for k, v in states.flatten(state).items()})

    def add(self, step: Items) -> None:
        """One more step of every copy, entries [B, ...], after ``keep``."""
        length, stride = self.shape
        if self.time % stride == 0:
            self._set(self.time, torch.zeros_like(self._highest))  # its steps are yet to come
        self.steps.add({name: value.unsqueeze(0) for name, value in step.items()})
        whole = self.time - length
        if whole >= 0 and whole % stride == 0:
            self._set(whole, self._highest**self.alpha)

    def draw(self, count: int, generator: torch.Generator, *, beta: float) -> Drawn:
        """``count`` ≥ 1 sequences; there must be one.

        Their importance is (N × chance)^−beta (Schaul et al. 2016, section 3.4), over the largest.
        """
        index = self.tree.draw(count, generator)
        chance = self.tree.priorities[index] / self.tree.total
        weight = (len(self) * chance) ** -beta
        copy, slot = index % self.copies, index // self.copies
        offset = torch.arange(self.shape.length, device=index.device).unsqueeze(1)
        time = self._begun(slot) + offset  # [L, M]
        place = time % self.span
        return Drawn(
            number=index,
            steps={name: array[place, copy] for name, array in self.steps.arrays.items()},
            time=time,
            copy=copy,
            state=self._states(slot, copy),
            weight=weight / weight.max(),
        )

    def update(self, index: Int64[Tensor, " M"], priority: Float[Tensor, " M"]) -> None:
        """New priorities of sequences that were drawn and not overwritten since."""
        priority = priority.to(self._highest).clamp(min=_LEAST)
        self._highest = torch.maximum(self._highest, priority.max())
        self.tree.set(index, priority**self.alpha)

    def refresh(self, drawn: Drawn, offset: int, state: Any, keep: Tensor) -> Tensor:
        """Replace states that are kept ``offset`` steps (whole strides) into drawn sequences.

        ``keep`` [M] is False where the old one stays. Returns the size of the change, relative to
        that of the new states.
        """
        slot, copy = drawn.time[offset] // self.shape.stride % self._slots, drawn.copy
        change = size = torch.zeros((), device=slot.device)
        for name, new in states.flatten(state).items():
            assert self.states is not None
            kept = self.states.arrays[name]
            old = kept[slot, copy]
            written = torch.where(keep.view(-1, *[1] * (new.dim() - 1)), new, old)
            kept[slot, copy] = written
            change = change + (written - old).float().square().sum()
            size = size + written.float().square().sum()
        return (change / size.clamp(min=1e-12)).sqrt()

    def state_dict(self) -> dict[str, Any]:
        """What is held, to the bit."""
        return {
            "steps": self.steps.state_dict(),
            "states": None if self.states is None else self.states.state_dict(),
            "tree": self.tree.state_dict(),
            "highest": self._highest,
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError where ``load_state_dict`` would not fit; changes nothing."""
        self.steps.check(state["steps"])
        if (state["states"] is None) != (self.states is None):
            raise ValueError("the saved replay is of a memory that this one is not of")
        if self.states is not None:
            self.states.check(state["states"])
        self.tree.check(state["tree"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``."""
        self.check(state)
        self.steps.load_state_dict(state["steps"])
        if self.states is not None:
            self.states.load_state_dict(state["states"])
        self.tree.load_state_dict(state["tree"])
        self._highest = state["highest"].to(self._highest)

    def _set(self, time: int, priority: Tensor) -> None:
        """The same priority for the sequences of all copies that begin at ``time``."""
        slot = time // self.shape.stride % self._slots
        self.tree.set(slot * self.copies + self._rows, priority.expand(self.copies))

    def _begun(self, slot: Tensor) -> Tensor:
        """The latest time at which a sequence of this slot began."""
        first = slot * self.shape.stride
        return first + (self.time - 1 - first) // self.span * self.span

    def _states(self, slot: Tensor, copy: Tensor) -> Any:
        if self.states is None:
            return self._like
        kept = {name: array[slot, copy] for name, array in self.states.arrays.items()}
        return states.unflatten(self._like, kept)
