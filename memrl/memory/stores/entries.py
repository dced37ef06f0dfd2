"""Entries of several dictionaries: keys, values and last uses, in arrays that grow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memrl.memory.stores.grouping import group_by
from memrl.memory.stores.share import Share

ROOM = 1024  # slots of a dictionary at first; doubled when they are full
SPLIT = ("keys", "values", "key_squares", "value_squares")  # arrays of which a rank has a share
ARRAYS = (*SPLIT, "clock")
Rows: TypeAlias = Tensor | slice  # chooses some of n rows


@final
class Entries:
    """The entries of A dictionaries: keys [A, N, W], values [A, N], clocks [A, N].

    N slots are allocated, at most ``capacity``. In a full dictionary a new entry replaces the least
    recently used one.

    Several ranks may share them: keys, values and their squares lie at the rank that has the slot,
    all else at every rank, which makes the same calls. A place is dictionary × room + slot.

    Attributes:
        share: the slots that are here.
        held: number of entries of each dictionary, on the host.
        count: the same on the device: [A].
        clock: time of the last use of an entry: [A, N].
        now: the present time, a count of uses.
    """

    def __init__(
        self,
        dictionaries: int,
        key_dim: int,
        *,
        capacity: int,
        device: torch.device | str,
        share: Share | None = None,
    ) -> None:
        self.capacity, self.share = capacity, share or Share()
        self._allocate(dictionaries, min(capacity, ROOM), key_dim, torch.device(device))
        self.held = [0] * dictionaries
        self.count = torch.zeros(dictionaries, dtype=torch.int64, device=device)
        self.now = 0

    def _allocate(self, dictionaries: int, room: int, key_dim: int, device: torch.device) -> None:
        shape = (dictionaries, self.share.size(room))
        self.keys = torch.zeros(*shape, key_dim, device=device)
        self.values = torch.zeros(shape, device=device)
        self.key_squares, self.value_squares = map(torch.zeros_like, (self.keys, self.values))
        self.clock = torch.zeros(dictionaries, room, dtype=torch.int64, device=device)

    @property
    def room(self) -> int:
        """N, slots that are allocated for each dictionary."""
        return self.clock.shape[1]

    @property
    def most(self) -> int:
        """Entries of the fullest dictionary."""
        return max(self.held)

    def locate(self, place: Int[Tensor, " n"]) -> tuple[Rows, Tensor]:
        """Which of these places are here, and where: indices into the flat arrays of ``SPLIT``."""
        if self.share.ranks == 1:
            return slice(None), place
        here = self.share.holds(place % self.room)
        place = place[here]
        row, slot = place // self.room, place % self.room
        return here, row * self.keys.shape[1] + slot // self.share.ranks

    def read(self, name: str, place: Int[Tensor, "*B"]) -> Tensor:
        """What an array of ``SPLIT`` holds at these places, wherever it lies: [*B, ...]."""
        flat = place.flatten()
        rows = getattr(self, name).flatten(0, 1)[self.locate(flat)[1]]
        rows = self.share.fetch(rows, flat % self.room)
        return rows.view(*place.shape, *rows.shape[1:])

    def put(self, name: str, place: Int[Tensor, " n"], rows: Tensor) -> None:
        """Replace what an array of ``SPLIT`` holds at these places."""
        here, there = self.locate(place)
        getattr(self, name).flatten(0, 1)[there] = rows[here]

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
        here, there = self.locate(which * self.room + slot)
        self.keys.flatten(0, 1)[there] = keys[here]
        self.key_squares.flatten(0, 1)[there] = 0.0
        self.value_squares.flatten(0, 1)[there] = 0.0
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
        if room == self.room:
            return
        for name in ARRAYS:  # one after the other: of the largest alone there are two for a moment
            old = getattr(self, name)
            slots = self.share.size(room) if name in SPLIT else room
            array = old.new_zeros(len(old), slots, *old.shape[2:])
            array[:, : old.shape[1]] = old
            setattr(self, name, array)

    def arrays(self) -> dict[str, Tensor]:
        """All arrays, each [A, N, ...]; of those in ``SPLIT`` the slots that are here."""
        return {name: getattr(self, name) for name in ARRAYS}

    def _in_use(self, name: str) -> int:
        """How many slots of an array hold entries, in the fullest dictionary."""
        return self.share.size(self.most) if name in SPLIT else self.most

    def state_dict(self) -> dict[str, Any]:
        """All entries; of several ranks each has its own state, with its share of them."""
        arrays = {name: array[:, : self._in_use(name)] for name, array in self.arrays().items()}
        share = {"share": [self.share.rank, self.share.ranks]} if self.share.ranks > 1 else {}
        return {"held": list(self.held), "room": self.room, "now": self.now, **share, **arrays}

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
        """Continue from this rank's ``state_dict``.

        Raises:
            ValueError: see ``check``; or it is another share. After an error nothing is changed.
        """
        self.check(state)
        there, here = share_of(state), self.share
        if (there.rank, there.ranks) != (here.rank, here.ranks):
            raise ValueError(
                f"the saved entries are share {there.rank} of {there.ranks}, allowed: share "
                f"{here.rank} of {here.ranks}; load_shares reads those of another number of ranks"
            )
        self._begin(state)
        for name, array in self.arrays().items():
            array[:, : self._in_use(name)] = state[name].to(array.device)

    def load_shares(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Continue from the ``state_dict`` of every rank of any number of ranks, one by one.

        Raises:
            ValueError: see ``check``; or not every share is there, once. The entries are of no use
                after an error.
        """
        wanted: set[int] | None = None
        for state in states:
            self.check(state)
            there = share_of(state)
            if wanted is None:
                wanted = set(range(there.ranks))
                self._begin(state)
                self.clock[:, : self.most] = state["clock"].to(self.clock.device)
            wanted.remove(there.rank)
            slot = there.slots(self.most)
            here = self.share.holds(slot)
            for name in SPLIT:
                array, rows = getattr(self, name), state[name][:, here]
                array[:, slot[here] // self.share.ranks] = rows.to(array.device)
        if wanted != set():
            raise ValueError(f"the saved entries lack shares: {sorted(wanted or [])}")

    def _begin(self, state: Mapping[str, Any]) -> None:
        """Take from a state what every rank has, but for the clock, and allocate the arrays."""
        device = self.keys.device
        self._allocate(len(self.held), state["room"], self.keys.shape[2], device)
        self.held, self.now = list(state["held"]), state["now"]
        self.count = torch.tensor(self.held, device=device)


def share_of(state: Mapping[str, Any]) -> Share:
    """The share that a saved state has of all entries."""
    return Share(*state.get("share", (0, 1)))
