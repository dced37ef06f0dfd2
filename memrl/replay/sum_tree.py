"""A sum tree: draw items in proportion to their priority, in a step for every level of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@final
class SumTree:
    """Priorities of ``size`` items under a binary tree of their sums (Schaul et al. 2016, B.2.1).

    The tree lies in one array: node 1 is the root, the children of node i are 2i and 2i + 1. Sums
    are always taken anew from the two children, so that they do not drift and depend on nothing but
    the priorities. Changing and drawing M items take one vectorised operation a level.

    Args:
        size: items, at least 1; all begin with priority 0, which is never drawn.
        device: where the tree lies.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        if size < 1:
            raise ValueError(f"a tree holds at least 1 item, not {size}")
        self.size = size
        self.levels = (size - 1).bit_length()
        self._first = 1 << self.levels  # node of item 0
        self._nodes = torch.zeros(2 * self._first, dtype=torch.float64, device=device)

    @property
    def priorities(self) -> Float[Tensor, " size"]:
        """Of every item."""
        return self._nodes[self._first : self._first + self.size]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The sum of all priorities."""
        return self._nodes[1]

    def set(self, items: Int64[Tensor, " M"], priorities: Float[Tensor, " M"]) -> None:
        """Give items new priorities, from 0; an item may stand twice only with one priority."""
        node = items + self._first
        self._nodes[node] = priorities.to(self._nodes)
        for _ in range(self.levels):
            node = node // 2
            self._nodes[node] = self._nodes[2 * node] + self._nodes[2 * node + 1]

    def draw(self, count: int, generator: torch.Generator) -> Int64[Tensor, " M"]:
        """``count`` items with replacement, stratified: one from each ``count``-th of the total.

        The total must not be 0.
        """
        device = generator.device
        within = torch.rand(count, generator=generator, dtype=torch.float64, device=device)
        spread = (torch.arange(count, device=device) + within) / count
        left_over = spread.to(self._nodes.device) * self.total
        node = torch.ones(count, dtype=torch.int64, device=self._nodes.device)
        for _ in range(self.levels):
            left, right = self._nodes[2 * node], self._nodes[2 * node + 1]
            # Rounding must not lead to a child that holds nothing.
            goes_right = (left_over >= left) & (right > 0)
            left_over = torch.where(goes_right, left_over - left, left_over)
            node = 2 * node + goes_right
        return node - self._first

    def state_dict(self) -> dict[str, Any]:
        """The priorities; the sums follow."""
        return {"priorities": self.priorities}

    def check(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError where ``load_state_dict`` would not fit; changes nothing."""
        saved = len(state["priorities"])
        if saved != self.size:
            raise ValueError(f"priorities of {saved} items were saved, not of {self.size}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``."""
        self.check(state)
        saved: Tensor = state["priorities"]
        self.set(torch.arange(self.size, device=self._nodes.device), saved)
