"""Prioritised replay of sequences: stores every step once, and the core's state at every stride."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from memrl.memory import state as states
from memrl.replay.ring import Items, Ring
from memrl.replay.spill import allocator, nbytes
from memrl.replay.sum_tree import SumTree

_LEAST: Final = 1e-6  # smallest priority, so that every sequence can be sampled


class Shape(NamedTuple):
    """The sequences of a replay."""

    length: int  # L, steps of a sequence
    stride: int  # steps between the beginnings of two sequences of an environment


class SampledSequences(NamedTuple):
    """M sequences of L steps."""

    number: Tensor  # int64 [M]  index of each sequence in the replay
    steps: dict[str, Tensor]  # each [L, M, ...], by name
    time: Tensor  # int64 [L, M]  when each step was added, counted from 0
    env: Tensor  # int64 [M]  the environment of each sequence
    state: Any  # the core's before the first step, leaves [M, ...]
    weight: Tensor  # [M]  importance weight, at most 1


@final
class SequenceReplay:
    """The last steps of B environments; a sequence begins at every ``stride``-th step.

    Sequences overlap and share steps if ``stride`` is below their length. A sequence can be sampled
    once all of its steps are stored, until one is overwritten. Its probability is proportional to
    priority^alpha (Schaul et al. 2016, eq. 1). A new sequence has the highest priority so far.

    Args:
        capacity: maximum number of steps of all environments together, rounded down to whole
            strides.
        shape: of the sequences.
        example: entries of one step of every environment, each [B, ...].
        state: of the core, leaves [B, ...].
        alpha: 0 samples uniformly, 1 in proportion to the priority.
        memory_limit: GB above which the data lie in memory-mapped files.
        folder: of these files; by default the system's temporary folder.

    Raises:
        ValueError: no sequence fits into ``capacity``, or as ``allocator``.
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
        self.num_envs, self.shape, self.alpha = B, shape, alpha
        self.span = capacity // B // shape.stride * shape.stride  # C, steps of each environment
        if self.span < shape.length:
            least = -(-shape.length // shape.stride) * shape.stride * B
            raise ValueError(
                f"capacity is {capacity:,} steps, {self.span} for each of {B} environments, but a "
                f"sequence takes {shape.length}; allowed: at least {least:,} steps"
            )
        self._like = state
        row = {name: value.unsqueeze(0) for name, value in example.items()}
        leaves = {name: leaf.unsqueeze(0) for name, leaf in states.flatten(state).items()}
        self._slots = self.span // shape.stride  # K, sequences of each environment
        size = nbytes(self.span, row) + nbytes(self._slots, leaves)
        allocate = allocator(size, memory_limit, folder, device)
        self.steps = Ring(self.span, row, allocate)
        self.states = Ring(self._slots, leaves, allocate) if leaves else None
        self.tree = SumTree(self._slots * B, device)
        self._rows = torch.arange(B, device=device)
        self._highest = torch.ones((), dtype=torch.float64, device=device)

    @property
    def time(self) -> int:
        """Steps of each environment added so far."""
        return self.steps.added

    def __len__(self) -> int:
        """Number of sequences that can be sampled."""
        length, stride = self.shape
        oldest = -(-max(0, self.time - self.span) // stride)
        newest = (self.time - length) // stride
        return max(0, newest - oldest + 1) * self.num_envs

    def keep(self, state: Any) -> None:
        """Store a copy of the core's state before the next step, if a sequence begins there."""
        if self.time % self.shape.stride == 0 and self.states is not None:
            self.states.add({k: v.unsqueeze(0) for k, v in states.flatten(state).items()})

    def add(self, step: Items) -> None:
        """Add a step of every environment, entries [B, ...]; call ``keep`` before."""
        length, stride = self.shape
        if self.time % stride == 0:
            self._set(self.time, torch.zeros_like(self._highest))  # its steps are not stored yet
        self.steps.add({name: value.unsqueeze(0) for name, value in step.items()})
        whole = self.time - length
        if whole >= 0 and whole % stride == 0:
            self._set(whole, self._highest**self.alpha)

    def sample(self, count: int, generator: torch.Generator, *, beta: float) -> SampledSequences:
        """Sample ``count`` ≥ 1 sequences; the replay must contain one.

        Their importance weights are (N × probability)^−beta (Schaul et al. 2016, section 3.4),
        divided by the largest.
        """
        index = self.tree.sample(count, generator)
        chance = self.tree.priorities[index] / self.tree.total
        weight = (len(self) * chance) ** -beta
        env, slot = index % self.num_envs, index // self.num_envs
        offset = torch.arange(self.shape.length, device=index.device).unsqueeze(1)
        time = self._begun(slot) + offset  # [L, M]
        place = time % self.span
        return SampledSequences(
            number=index,
            steps={name: array[place, env] for name, array in self.steps.arrays.items()},
            time=time,
            env=env,
            state=self._states(slot, env),
            weight=weight / weight.max(),
        )

    def update(self, index: Int64[Tensor, " M"], priority: Float[Tensor, " M"]) -> None:
        """Set the priorities of sampled sequences that were not overwritten since.

        A sequence that was sampled several times (with different goals) gets the largest one.
        """
        same = index.unsqueeze(0) == index.unsqueeze(1)
        priority = torch.where(same, priority.to(self._highest), 0.0).amax(1).clamp(min=_LEAST)
        self._highest = torch.maximum(self._highest, priority.max())
        self.tree.set(index, priority**self.alpha)

    def refresh(self, sampled: SampledSequences, offset: int, state: Any, keep: Tensor) -> Tensor:
        """Replace the states stored ``offset`` steps (whole strides) into sampled sequences.

        ``keep`` [M] is False for states that are not written: the old one stays, or that of another
        sampled sequence. Returns the norm of the change, relative to the norm of the new states.
        """
        slot, env = sampled.time[offset] // self.shape.stride % self._slots, sampled.env
        slot, env = slot[keep], env[keep]
        change = size = torch.zeros((), device=slot.device)
        for name, leaf in states.flatten(state).items():
            assert self.states is not None
            kept, new = self.states.arrays[name], leaf[keep]
            change = change + (new - kept[slot, env]).float().square().sum()
            size = size + new.float().square().sum()
            kept[slot, env] = new
        return (change / size.clamp(min=1e-12)).sqrt()

    def state_dict(self) -> dict[str, Any]:
        """All that is stored."""
        return {
            "steps": self.steps.state_dict(),
            "states": None if self.states is None else self.states.state_dict(),
            "tree": self.tree.state_dict(),
            "highest": self._highest,
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError if ``load_state_dict`` would fail; nothing is changed."""
        self.steps.check(state["steps"])
        if (state["states"] is None) != (self.states is None):
            raise ValueError("the saved replay belongs to another memory")
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
        """Set the priority of the sequences of all environments that begin at ``time``."""
        slot = time // self.shape.stride % self._slots
        self.tree.set(slot * self.num_envs + self._rows, priority.expand(self.num_envs))

    def _begun(self, slot: Tensor) -> Tensor:
        """The time at which the latest sequence of this slot began."""
        first = slot * self.shape.stride
        return first + (self.time - 1 - first) // self.span * self.span

    def _states(self, slot: Tensor, env: Tensor) -> Any:
        if self.states is None:
            return self._like
        kept = {name: array[slot, env] for name, array in self.states.arrays.items()}
        return states.unflatten(self._like, kept)
