"""Replay buffer of the best whole episodes, sampled by priority."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from memrl.replay.ring import Items, describe, layout
from memrl.replay.spill import allocator, nbytes

LEAST = 1e-6  # added to every priority, so that every episode can be sampled


@final
class BestEpisodes:
    """The ``capacity`` episodes with the highest scores; of equal ones the newest.

    Args:
        capacity: maximum number of episodes.
        longest: maximum length of an episode in env steps.
        example: arrays [n, ...] of any n, for names, shapes of a step, dtypes and device.

    Raises:
        ValueError: ``capacity`` or ``longest`` is below 1, or the buffer does not fit into memory.
    """

    def __init__(self, capacity: int, longest: int, example: Items) -> None:
        if capacity < 1 or longest < 1:
            raise ValueError(f"capacity is {capacity}, longest {longest}; allowed: both from 1")
        device = next(iter(example.values())).device
        self.capacity, self.longest = capacity, longest
        allocate = allocator(nbytes(capacity * longest, example), None, None, device)
        self.arrays = {
            name: allocate(name, (capacity, longest, *step.shape[1:]), step.dtype, device)
            for name, step in example.items()
        }
        self.length = torch.zeros(capacity, dtype=torch.int64, device=device)  # 0: a free slot
        self.priority = torch.zeros(capacity, dtype=torch.float64, device=device)
        self.score = torch.full_like(self.priority, -torch.inf)
        # The order of arrival; free slots count as older than all episodes.
        self.born = torch.arange(-capacity, 0, device=device)
        self.added = 0

    def __len__(self) -> int:
        return int((self.length > 0).sum())

    def admit(self, score: Tensor) -> tuple[Tensor, Tensor]:
        """Reserve slots for those of n new episodes [n], oldest first, that are among the best.

        Returns:
            Their indices [k] in 0 … n - 1, and their slots [k] for ``write``.
        """
        n, C = len(score), self.capacity
        scores = torch.cat([self.score, score.to(self.score)])
        born = torch.cat([self.born, self.added + torch.arange(n, device=score.device)])
        newest = born.argsort(descending=True, stable=True)
        best = newest[scores[newest].argsort(descending=True, stable=True)][:C]
        stays = torch.zeros(C + n, dtype=torch.bool, device=score.device)
        stays[best] = True
        comes = stays[C:].nonzero().squeeze(1)
        slots = (~stays[:C]).nonzero().squeeze(1)[: len(comes)]
        self.born[slots] = born[C + comes]
        self.score[slots] = scores[C + comes]
        self.added += n
        return comes, slots

    def write(self, slots: Int64[Tensor, " k"], items: Items, length: Int64[Tensor, " k"]) -> None:
        """Fill slots that ``admit`` returned: arrays [k, longest, ...] and lengths in steps."""
        for name, array in self.arrays.items():
            array[slots] = items[name]
        self.length[slots] = length

    def sample(self, n: int, exponent: float, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """Slots of n episodes, with replacement, in proportion to priority^exponent."""
        weight = ((self.priority + LEAST) ** exponent).masked_fill(self.length == 0, 0.0)
        weight = weight.to(generator.device)
        slots = torch.multinomial(weight, n, replacement=True, generator=generator)
        return slots.to(self.length.device)

    def take(self, slots: Int64[Tensor, " n"]) -> dict[str, Tensor]:
        """Their steps: each [T, n, ...], T the length of the longest of them, at least 1."""
        T = max(1, int(self.length[slots].max()))
        return {name: array[slots, :T].transpose(0, 1) for name, array in self.arrays.items()}

    def set_priority(self, slots: Int64[Tensor, " n"], priority: Float[Tensor, " n"]) -> None:
        """Set the priorities of these episodes, ≥ 0."""
        self.priority[slots] = priority.to(self.priority)

    def state_dict(self) -> dict[str, Any]:
        """All that is stored."""
        return {"added": self.added, **self._own(), "arrays": dict(self.arrays)}

    def check(self, state: Mapping[str, Any]) -> None:
        """Check a state for ``load_state_dict``; nothing is changed.

        Raises:
            ValueError: another capacity or length, or arrays of other names, shapes or dtypes.
        """
        saved, own = layout(state["arrays"]), layout(self.arrays)
        if saved != own:
            raise ValueError(f"the saved episodes are {describe(saved)}; allowed: {describe(own)}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``; after an error nothing is changed."""
        self.check(state)
        self.added = state["added"]
        for name, kept in self._own().items():
            kept.copy_(state[name])
        for name, array in self.arrays.items():
            array.copy_(state["arrays"][name])

    def _own(self) -> dict[str, Tensor]:
        return {
            "length": self.length,
            "priority": self.priority,
            "score": self.score,
            "born": self.born,
        }
