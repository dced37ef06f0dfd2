"""Memories whose number of slots may change after they were built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from memrl.memory import registry
from memrl.options import whole_number

GROW_ABOVE: Final = 0.9  # the default of `grow_above`


class Slotted(ABC):
    """A memory of N slots, where N may change between two steps.

    No parameter depends on N, or ``resize`` extends it. A state of another N is carried over: new
    slots are empty. The subclass implements ``_refit`` and ``used``.

    Attributes:
        slots: N.
        grow: the most slots to which training lets the memory grow; None: N stays.
        grow_above: share of used slots above which it grows.
    """

    slots: int
    grow: int | None = None
    grow_above: float = GROW_ABOVE

    @abstractmethod
    def used(self, state: Any) -> Tensor:
        """How much of each slot holds something, [B, N] in [0, 1]; 0: it may be taken away."""

    @abstractmethod
    def _refit(self, state: Any, slots: int) -> Any:
        """The state with empty slots added, or with slots cut off, whatever they hold."""

    def _need_slots(self, slots: int) -> None:  # noqa: B027  most take any
        """Raise ValueError if the memory's options do not allow N slots."""

    def _extend(self, slots: int) -> None:  # noqa: B027  most have nothing to extend
        """Fit to N slots what depends on their number, parameters included."""

    def resize(self, slots: int) -> None:
        """Change N; the next state must be new, or come from ``carry_over``.

        Raises:
            ValueError: N is not positive, or the memory's options do not allow it.
        """
        slots = whole_number("slots", slots, least=1)
        if slots != self.slots:
            self._need_slots(slots)
            self._extend(slots)
            self.slots = slots

    def carry_over(self, state: Any) -> Any:
        """A state that was made with another N, for the present one.

        Raises:
            ValueError: what a slot holds would be lost.
        """
        before, after = self._count(state), self._refit(state, self.slots)
        if (self._count(after) < before).any():
            had = self.used(state).shape[1]
            fitting = (n for n in range(self.slots, had) if self._keeps(state, before, n))
            raise ValueError(
                f"slots is {self.slots}, and a state of {had} slots uses more of them (allowed: "
                f"from {next(fitting, had)}, or a new state)"
            )
        return after

    def _count(self, state: Any) -> Tensor:
        return (self.used(state) > 0).sum(dim=-1)

    def _keeps(self, state: Any, before: Tensor, slots: int) -> bool:
        return not (self._count(self._refit(state, slots)) < before).any()

    def fullness(self, state: Any) -> Tensor:
        """The share of slots in use, [B]."""
        return self.used(state).mean(dim=-1)

    def _may_grow(self, grow: int | None, grow_above: float) -> None:
        """Take the options of growth, once the memory is built.

        Raises:
            ValueError: there is nothing to grow to, or the memory's options do not allow it.
        """
        if grow is None and grow_above != GROW_ABOVE:
            raise ValueError(f"grow_above={grow_above} is not read by grow=null (it is by grow=N)")
        if grow is not None and grow <= self.slots:
            raise ValueError(f"grow is {grow}; allowed: above slots, {self.slots}, or null")
        if grow is not None:
            self._need_slots(grow)
        self.grow, self.grow_above = grow, grow_above


def fit(leaf: Tensor, slots: int, dim: int = 1, *, fill: float = 0, front: bool = False) -> Tensor:
    """Extend an axis of slots by ``fill``, or cut it, at its end or at its ``front``."""
    had = leaf.shape[dim]
    if slots <= had:
        return leaf.narrow(dim, had - slots if front else 0, slots).contiguous()
    shape = [*leaf.shape]
    shape[dim] = slots - had
    new = leaf.new_full(shape, fill)
    return torch.cat([new, leaf] if front else [leaf, new], dim=dim)


def resizable() -> list[str]:
    """The names of registered memories whose number of slots may change."""
    return [name for name in registry.names() if issubclass(registry.core_class(name), Slotted)]


def limit_of(memory: Mapping[str, Any]) -> int | None:
    """The most slots to which a memory may grow, by its name and options; None: N stays."""
    grows = issubclass(registry.core_class(memory["name"]), Slotted)
    return memory.get("grow") if grows else None


def resize(core: object, slots: int) -> None:
    """Change the number of slots of any memory.

    Raises:
        ValueError: it has no slots whose number may change, or not to this number.
    """
    if not isinstance(core, Slotted):
        raise ValueError(
            f"memory.slots={slots}: the number of slots of a {type(core).__name__} does not change "
            f"after training (allowed: that of {', '.join(resizable())}, the policy's only memory)"
        )
    core.resize(slots)
