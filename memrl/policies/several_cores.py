"""What memories that are made of several others share: a state is the tuple of theirs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from memrl.memory.core import MemoryCore


class SeveralCores(MemoryCore[tuple[Any, ...]]):
    """A memory of several cores, each with a state of its own."""

    @abstractmethod
    def _cores(self) -> list[MemoryCore[Any]]:
        """The cores, in the order of their states."""

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        return tuple(core.initial_state(batch_size) for core in self._cores())

    def _update(self, x: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        return self.step(x, state, torch.zeros(len(x), dtype=torch.bool, device=x.device))

    def reset(
        self,
        state: tuple[Any, ...],
        initial: tuple[Any, ...],
        start: Tensor,
        *,
        donate: bool = False,
    ) -> tuple[Any, ...]:
        parts = zip(self._cores(), state, initial, strict=True)
        return tuple(core.reset(old, new, start, donate=donate) for core, old, new in parts)

    def compile_update(self) -> None:
        for core in self._cores():
            core.compile_update()
