"""A ring of items: the newest replaces the oldest, everything preallocated on one device."""

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
    """Zeros on the device, for every array alike."""
    return torch.zeros(shape, dtype=dtype, device=device)


@final
class Ring:
    """The last ``capacity`` items, each a row of every named array.

    Args:
        capacity: items held at most.
        example: arrays [n, ...] of any n, for names, shapes of a row, dtypes and device.
        allocate: makes an array of a name, a shape, a dtype and a device.

    Raises:
        ValueError: there is no room for any item.
    """

    def __init__(self, capacity: int, example: Items, allocate: Allocate = in_memory) -> None:
        if capacity < 1:
            raise ValueError(f"a replay holds at least 1 item, not {capacity}")
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
            raise ValueError(f"{n} items at once do not fit into a replay of {self.capacity}")
        slots = torch.arange(self.added, self.added + n, device=self.device) % self.capacity
        for name, array in self.arrays.items():
            array[slots] = items[name]
        self.added += n
        return slots

    def draw(self, n: int, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """Slots of n items, each drawn uniformly and with replacement."""
        device = generator.device
        return torch.randint(len(self), (n,), generator=generator, device=device).to(self.device)

    def take(self, slots: Int64[Tensor, " n"]) -> dict[str, Tensor]:
        """The items of these slots: each [n, ...]."""
        return {name: array[slots] for name, array in self.arrays.items()}

    def state_dict(self) -> dict[str, Any]:
        """What is held, without the room that is not."""
        held = {name: array[: len(self)] for name, array in self.arrays.items()}
        return {"added": self.added, "capacity": self.capacity, "arrays": held}

    def check(self, state: Mapping[str, Any]) -> None:
        """That ``load_state_dict`` would succeed; nothing is changed.

        Raises:
            ValueError: another capacity, or arrays of other names, shapes or dtypes.
        """
        arrays: Mapping[str, Tensor] = state["arrays"]
        if state["capacity"] != self.capacity:
            raise ValueError(f"a replay of {state['capacity']} was saved, not of {self.capacity}")
        saved, own = layout(arrays, leading=1), layout(self.arrays, leading=1)
        if saved != own:
            raise ValueError(f"the saved replay holds {said(saved)}, this one {said(own)}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``, and then nothing was changed."""
        self.check(state)
        self.added = state["added"]
        for name, array in self.arrays.items():
            array[: len(self)] = state["arrays"][name]


def layout(arrays: Items, *, leading: int = 0) -> Layout:
    """What two sets of arrays must share to be one another's; the ``leading`` axes may differ."""
    return {name: (rows.shape[leading:], rows.dtype) for name, rows in arrays.items()}


def said(rows: Layout) -> str:
    """A layout in words."""
    return ", ".join(
        f"{name} {str(dtype).removeprefix('torch.')} {list(shape)}"
        for name, (shape, dtype) in rows.items()
    )
