"""A ring buffer of items, preallocated on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

import torch
from jaxtyping import Int64
from torch import Tensor

Items: TypeAlias = Mapping[str, Tensor]  # each [n, ...]
Layout: TypeAlias = dict[str, tuple[torch.Size, torch.dtype]]
Allocate: TypeAlias = Callable[[str, tuple[int, ...], torch.dtype, torch.device], Tensor]


def in_memory(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """An array of zeros on the device."""
    return torch.zeros(shape, dtype=dtype, device=device)


@final
class Ring:
    """The last ``capacity`` items, each a row of every named array.

    Args:
        capacity: maximum number of items.
        example: arrays [n, ...] of any n, for names, shapes of a row, dtypes and device.
        allocate: makes an array of a name, a shape, a dtype and a device.

    Raises:
        ValueError: ``capacity`` is below 1.
    """

    def __init__(self, capacity: int, example: Items, allocate: Allocate = in_memory) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; allowed: at least 1 item")
        self.capacity = capacity
        self.arrays = {
            name: allocate(name, (capacity, *rows.shape[1:]), rows.dtype, rows.device)
            for name, rows in example.items()
        }
        self.device = next(iter(self.arrays.values())).device
        self.added = 0  # items so far; the next one goes to slot ``added % capacity``

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, items: Items) -> Int64[Tensor, " n"]:
        """Write n ≤ capacity items, the oldest first; returns their slots."""
        n = len(next(iter(items.values())))
        if n > self.capacity:
            raise ValueError(f"{n} items are added at once; allowed: at most {self.capacity}")
        slots = torch.arange(self.added, self.added + n, device=self.device) % self.capacity
        for name, array in self.arrays.items():
            array[slots] = items[name]
        self.added += n
        return slots

    def sample(self, n: int, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """Slots of n items, uniformly and with replacement."""
        device = generator.device
        return torch.randint(len(self), (n,), generator=generator, device=device).to(self.device)

    def take(self, slots: Int64[Tensor, " n"]) -> dict[str, Tensor]:
        """The items of these slots: each [n, ...]."""
        return {name: array[slots] for name, array in self.arrays.items()}

    def state_dict(self) -> dict[str, Any]:
        """The stored items, without unused slots."""
        held = {name: array[: len(self)] for name, array in self.arrays.items()}
        return {"added": self.added, "capacity": self.capacity, "arrays": held}

    def check(self, state: Mapping[str, Any]) -> None:
        """Check a state for ``load_state_dict``; nothing is changed.

        Raises:
            ValueError: another capacity, or arrays of other names, shapes or dtypes.
        """
        arrays: Mapping[str, Tensor] = state["arrays"]
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"the saved replay has capacity {state['capacity']}; allowed: {self.capacity}"
            )
        saved, own = layout(arrays, leading=1), layout(self.arrays, leading=1)
        if saved != own:
            raise ValueError(f"the saved replay holds {describe(saved)}; allowed: {describe(own)}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``; after an error nothing is changed."""
        self.check(state)
        self.added = state["added"]
        for name, array in self.arrays.items():
            array[: len(self)] = state["arrays"][name]


def layout(arrays: Items, *, leading: int = 0) -> Layout:
    """Names, shapes and dtypes of arrays, without the ``leading`` axes."""
    return {name: (rows.shape[leading:], rows.dtype) for name, rows in arrays.items()}


def describe(rows: Layout) -> str:
    """A layout as text for messages."""
    return ", ".join(
        f"{name} {str(dtype).removeprefix('torch.')} {list(shape)}"
        for name, (shape, dtype) in rows.items()
    )
