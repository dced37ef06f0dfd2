"""Memories of the last steps, which process a whole sequence at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.ops.attention import ages


@runtime_checkable
class AgedState(Protocol):
    """A state that counts the steps of its episode."""

    @property
    def age(self) -> Tensor:
        """Steps of the episode so far, float [B]."""


@runtime_checkable
class ItemState(AgedState, Protocol):
    """A state of the last N inputs, of which a step reads some."""

    @property
    def items(self) -> Tensor:
        """The inputs, oldest first, [B, N, I]."""

    @property
    def read_weights(self) -> Tensor:
        """Where the last step looked, [B, ..., N]."""


A = TypeVar("A", bound=AgedState)
R = TypeVar("R", bound=ItemState)


class WindowMemory(MemoryCore[A]):
    """A memory of a fixed number of past steps.

    Which of them a step may read follows from its age, the number of earlier steps of its episode.
    So a sequence needs no loop, and a step is a sequence of length 1. The subclass implements
    ``_attend``.
    """

    @abstractmethod
    def _attend(self, x: Tensor, state: A, age: Tensor) -> tuple[Tensor, A, Tensor | None]:
        """Process T steps at once.

        Args:
            x: projected inputs, [B, T, ·].
            state: before the first step.
            age: of each step, [B, T].

        Returns:
            What ``_emit`` takes, [B, T, ·]; the state after the last step; the cost [B, T], if the
            memory has one.
        """

    def _update(self, x: Tensor, state: A) -> tuple[Tensor, A]:
        seen, state, _ = self._attend(x.unsqueeze(1), state, state.age.unsqueeze(1))
        return seen.squeeze(1), state

    def forward(self, x: Tensor, state: A, start: Tensor) -> Unrolled:
        state = self.reset(state, self.initial_state(1), start[0])
        x = self._project(x).transpose(0, 1)
        seen, state, cost = self._attend(x, state, ages(state.age, start))
        y = self._emit(seen.transpose(0, 1))
        return Unrolled(y, state, None if cost is None else cost.T)


class ItemMemory(WindowMemory[R]):
    """A memory of the last inputs as they were."""

    def diagnostics(self, state: R) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "age": state.age,
            "item_norms": state.items.detach().norm(dim=-1),
        }
