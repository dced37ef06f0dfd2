"""Memories that get more slots while they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from memrl.memory.parts.slots import Slotted

PATIENCE: Final = 5  # iterations in which a memory is nearly full before it grows


@final
class Growth:
    """Doubles a memory's slots once it was nearly full in each of ``PATIENCE`` iterations.

    It has no more than ``core.grow`` slots then. A parameter that was extended keeps its moments;
    those of its new entries are zero.
    """

    def __init__(self, core: Slotted, optimizer: Optimizer) -> None:
        self.core, self._optimizer, self._full = core, optimizer, 0

    def update(self, used: float) -> bool:
        """Count an iteration in which a share ``used`` of the slots was; True: the memory grew.

        States of before are for ``core.carry_over`` then.
        """
        self._full = self._full + 1 if used > self.core.grow_above else 0
        most = self.core.grow or self.core.slots
        if self._full < PATIENCE or self.core.slots >= most:
            return False
        self._full = 0
        self._resize(min(2 * self.core.slots, most))
        return True

    def state_dict(self) -> dict[str, Any]:
        """The state that a continuation needs."""
        return {"slots": self.core.slots, "full": self._full}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; call it before weights and moments are loaded."""
        self._resize(state["slots"])
        self._full = state["full"]

    def _resize(self, slots: int) -> None:
        self.core.resize(slots)
        for weight, kept in self._optimizer.state.items():
            for name, moment in kept.items():
                if isinstance(moment, Tensor) and moment.dim() and moment.shape != weight.shape:
                    kept[name] = _as_large(moment, weight)


def growth_of(core: object, optimizer: Optimizer) -> Growth | None:
    """The growth of a memory that is configured to grow, else None."""
    grows = isinstance(core, Slotted) and core.grow is not None
    return Growth(core, optimizer) if grows else None  # type: ignore[arg-type]


def _as_large(moment: Tensor, weight: Tensor) -> Tensor:
    """A moment as large as its weight, with zeros where it had none."""
    larger = torch.zeros_like(weight)
    both = tuple(slice(min(sizes)) for sizes in zip(moment.shape, weight.shape, strict=True))
    larger[both] = moment[both]
    return larger
