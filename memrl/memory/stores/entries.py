"""Entries of several dictionaries: keys, values and last uses, in arrays that grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memrl.memory.stores.grouping import group_by

ROOM = 1024  # slots of a dictionary at first; doubled when they are full
ARRAYS = ("keys", "values", "key_squares", "value_squares", "clock")


@final
class Entries:
    """The entries of A dictionaries: keys [A, N, W], values [A, N], clocks [A, N].

    N slots are allocated, at most ``capacity``. In a full dictionary a new entry replaces the least
    recently used one.

    Attributes:
        held: number of entries of each dictionary, on the host.
        count: the same on the device: [A].
        clock: time of the last use of an entry: [A, N].
        now: the present time, a count of uses.
    """

    def __init__(
        self, dictionaries: int, key_dim: int, *, capacity: int, device: torch.device | str
    ) -> None:
        self.capacity = capacity
        self._allocate(dictionaries, min(capacity, ROOM), key_dim, torch.device(device))
        self.held = [0] * dictionaries
        self.count = torch.zeros(dictionaries, dtype=torch.int64, device=device)
        self.now = 0

    def _allocate(self, dictionaries: int, room: int, key_dim: int, device: torch.device) -> None:
        shape = (dictionaries, room)
        self.keys = torch.zeros(*shape, key_dim, device=device)
        self.values = torch.zeros(shape, device=device)
        self.key_squares, self.value_squares = map(torch.zeros_like, (self.keys, self.values))
        self.clock = torch.zeros(shape, dtype=torch.int64, device=device)

    @property
    def room(self) -> int:
        """N, slots that are allocated for each dictionary."""
        return self.keys.shape[1]

    @property
    def most(self) -> int:
        """Entries of the fullest dictionary."""
        return max(self.held)

    def make_room(self, which: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], int]:
        """A slot for a new entry of each of these dictionaries; how many entries they replace."""
        wanted = torch.bincount(which, minlength=len(self.held))
        self.held = [
            min(self.capacity, before + more)
            for before, more in zip(self.held, wanted.tolist(), strict=True)
        ]
        self._grow()
        slot = self.count[which] + group_by(which).rank
        lost = int((slot >= self.capacity).sum())
        if lost:
            oldest = self._least_recent(min(self.capacity, int(wanted.max())))
            beyond = (slot - self.capacity).clamp(min=0)
            slot = torch.where(slot < self.capacity, slot, oldest[which, beyond])
        self.count = (self.count + wanted).clamp(max=self.capacity)
        return slot, lost

    def enter(
        self, which: Int[Tensor, " n"], slot: Int[Tensor, " n"], keys: Float[Tensor, "n W"]
    ) -> None:
        """Write new entries and reset their optimiser state."""
        self.keys[which, slot] = keys
        self.key_squares[which, slot] = 0.0
        self.value_squares[which, slot] = 0.0
        self.clock[which, slot] = self.now

    def _least_recent(self, k: int) -> Tensor:
        """The k least recently used slots of every dictionary: [A, k]."""
        slot = torch.arange(self.room, device=self.clock.device)
        age = self.clock * self.room + slot  # no two are equal
        age = age.masked_fill(slot >= self.count.unsqueeze(1), torch.iinfo(torch.int64).max)
        return age.topk(k, largest=False).indices

    def _grow(self) -> None:
        """Double the allocated slots until all entries fit."""
        room = self.room
        while room < self.most:
            room = min(self.capacity, 2 * room)
        if room > self.room:
            old = self.arrays()
            self._allocate(len(self.held), room, self.keys.shape[2], self.keys.device)
            for name, array in self.arrays().items():
                array[:, : old[name].shape[1]] = old[name]

    def arrays(self) -> dict[str, Tensor]:
        """All arrays, each [A, N, ...]."""
        return {name: getattr(self, name) for name in ARRAYS}

    def state_dict(self) -> dict[str, Any]:
        """All entries."""
        arrays = {name: array[:, : self.most] for name, array in self.arrays().items()}
        return {"held": list(self.held), "room": self.room, "now": self.now, **arrays}

    def check(self, state: Mapping[str, Any]) -> None:
        """Check a state for ``load_state_dict``; nothing is changed.

        Raises:
            ValueError: entries are missing or have other sizes.
        """
        missing = sorted({"held", "room", "now", *ARRAYS} - set(state))
        if missing:
            raise ValueError(f"the saved dictionaries lack {', '.join(missing)}")
        own = len(self.held), self.keys.shape[-1]
        saved = len(state["held"]), state["keys"].shape[-1]
        if saved != own or state["room"] > self.capacity:
            raise ValueError(
                f"the saved state has {saved[0]} dictionaries with keys of width {saved[1]} and "
                f"{state['room']:,} slots; allowed: {own[0]} dictionaries, width {own[1]}, at most "
                f"{self.capacity:,} slots"
            )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; after an error nothing is changed.

        Raises:
            ValueError: see ``check``.
        """
        self.check(state)
        device = self.keys.device
        self._allocate(len(self.held), state["room"], self.keys.shape[2], device)
        self.held, self.now = list(state["held"]), state["now"]
        self.count = torch.tensor(self.held, device=device)
        for name, array in self.arrays().items():
            array[:, : self.most] = state[name].to(device)
