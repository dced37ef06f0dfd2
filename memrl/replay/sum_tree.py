"""A sum tree, which samples items in proportion to their priority in O(log n)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@final
class SumTree:
    """Priorities of ``size`` items under a binary tree of their sums (Schaul et al. 2016, B.2.1).

    The tree is one array: node 1 is the root, the children of node i are 2i and 2i + 1. Sums are
    always recomputed from the two children, so that rounding errors do not accumulate. Updating or
    sampling M items takes one vectorised operation for each level.

    Args:
        size: number of items, at least 1; all start with priority 0, which is never sampled.
        device: of the tree.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        if size < 1:
            raise ValueError(f"size is {size}; allowed: at least 1 item")
        self.size = size
        self.levels = (size - 1).bit_length()
        self._first = 1 << self.levels  # node of item 0
        self._nodes = torch.zeros(2 * self._first, dtype=torch.float64, device=device)

    @property
    def priorities(self) -> Float[Tensor, " size"]:
        """The priority of every item."""
        return self._nodes[self._first : self._first + self.size]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The sum of all priorities."""
        return self._nodes[1]

    def set(self, items: Int64[Tensor, " M"], priorities: Float[Tensor, " M"]) -> None:
        """Set priorities ≥ 0; an item that is named twice must have the same priority twice."""
        node = items + self._first
        self._nodes[node] = priorities.to(self._nodes)
        for _ in range(self.levels):
            node = node // 2
            self._nodes[node] = self._nodes[2 * node] + self._nodes[2 * node + 1]

    def sample(self, count: int, generator: torch.Generator) -> Int64[Tensor, " M"]:
        """Sample ``count`` items with replacement: one from each equal part of the total.

        The total must not be 0.
        """
        device = generator.device
        within = torch.rand(count, generator=generator, dtype=torch.float64, device=device)
        spread = (torch.arange(count, device=device) + within) / count
        left_over = spread.to(self._nodes.device) * self.total
        node = torch.ones(count, dtype=torch.int64, device=self._nodes.device)
        for _ in range(self.levels):
            left, right = self._nodes[2 * node], self._nodes[2 * node + 1]
            # Rounding must not lead to a child with priority 0.
            goes_right = (left_over >= left) & (right > 0)
            left_over = torch.where(goes_right, left_over - left, left_over)
            node = 2 * node + goes_right
        return node - self._first

    def state_dict(self) -> dict[str, Any]:
        """The priorities; sums are recomputed from them."""
        return {"priorities": self.priorities}

    def check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError if ``load_state_dict`` would fail; nothing is changed."""
        saved = len(state["priorities"])
        if saved != self.size:
            raise ValueError(f"the saved tree has {saved} items; allowed: {self.size}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``."""
        self.check(state)
        saved: Tensor = state["priorities"]
        self.set(torch.arange(self.size, device=self._nodes.device), saved)
