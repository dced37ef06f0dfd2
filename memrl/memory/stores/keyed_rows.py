"""Rows of several arrays that are found by a 64-bit key; the least recently used make room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Int64
from torch import Tensor

from memrl.memory.stores.grouping import group_by

MISSING: Final = 0  # the row of every key that is not held
ROOM: Final = 1024  # rows at first; doubled when they are full


class Placed(NamedTuple):
    """Where a batch of keys is held now."""

    row: Tensor  # [n]
    new: int  # keys that were not held
    replaced: Tensor  # [k]  rows that held another key before


@final
class KeyedRows:
    """At most ``capacity`` keys, each with a row in every array.

    The first ``reserved`` rows have no key and are never written by ``put``; the row ``MISSING`` is
    one of them. Finding a key is a binary search.

    Args:
        first: what a new row holds, for each array: [...].
        capacity: maximum number of keys; memory is allocated as they come.
        reserved: rows without a key, at least 1.
        device: of all tensors.

    Attributes:
        arrays: each [N, ...], N rows allocated.
        count: rows in use, the reserved ones among them.
    """

    def __init__(
        self,
        first: Mapping[str, Tensor],
        *,
        capacity: int,
        reserved: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.first = {name: value.to(device) for name, value in first.items()}
        self.capacity, self.reserved, self.count, self.now = capacity, reserved, reserved, 0
        self.key = torch.zeros(0, dtype=torch.int64, device=device)
        self.clock = torch.zeros_like(self.key)  # time of the last use
        self.arrays = {name: self.key.new_empty(0) for name in self.first}
        self._allocate(min(reserved + capacity, ROOM))
        self._index()

    def held(self, name: str) -> Tensor:
        """The rows in use of an array: a view."""
        return self.arrays[name][: self.count]

    def find(self, key: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        """The row of each key; ``MISSING`` where it is not held."""
        if self.count == self.reserved:
            return torch.full_like(key, MISSING)
        place = torch.searchsorted(self._sorted, key).clamp(max=len(self._sorted) - 1)
        return torch.where(self._sorted[place] == key, self._row[place], MISSING)

    def put(self, key: Int64[Tensor, " n"], values: Mapping[str, Tensor]) -> Placed:
        """Mark keys as used now, and add those that are not held, with what else is known of them.

        Args:
            key: perhaps with repetitions; at most ``capacity`` different ones.
            values: arrays [n, ...] for rows that are new; the others start as ``first`` says.
        """
        self.now += 1
        groups = group_by(key)
        example = torch.empty_like(groups.number)  # the first place of each key in the batch
        opens = groups.rank == 0
        example[groups.group[opens]] = opens.nonzero().squeeze(1)
        row = self.find(groups.number)
        self.clock[row] = self.now  # so that none of them is replaced
        new = (row == MISSING).nonzero().squeeze(1)
        row[new], replaced = self._make_room(len(new))
        if len(new):
            self._enter(row[new], groups.number[new])
            for name, value in values.items():
                self.arrays[name][row[new]] = value[example[new]]
            self._index()
        return Placed(row[groups.group], len(new), replaced)

    def _enter(self, row: Tensor, key: Tensor) -> None:
        self.key[row], self.clock[row] = key, self.now
        for name, value in self.first.items():
            self.arrays[name][row] = value

    def _make_room(self, n: int) -> tuple[Tensor, Tensor]:
        """Rows for n new keys; those of them that held another one."""
        fresh = min(n, self.reserved + self.capacity - self.count)
        begin, self.count = self.count, self.count + fresh
        self._allocate(self.count)
        row = torch.arange(begin, self.count, device=self.key.device)
        age = self.clock[self.reserved : begin]
        oldest = self.reserved + age.argsort(stable=True)[: n - fresh] if n > fresh else row[:0]
        return torch.cat([row, oldest]), oldest

    def _allocate(self, wanted: int) -> None:
        """Double the allocated rows until ``wanted`` fit."""
        room = max(1, len(self.key))
        while room < wanted:
            room = min(self.reserved + self.capacity, 2 * room)
        more = room - len(self.key)
        if more:
            self.key, self.clock = (
                torch.cat([old, old.new_zeros(more)]) for old in (self.key, self.clock)
            )
            for name, value in self.first.items():
                added = value.expand(more, *value.shape)
                old = self.arrays[name]
                self.arrays[name] = torch.cat([old, added]) if len(old) else added.clone()

    def _index(self) -> None:
        self._sorted, order = self.key[self.reserved : self.count].sort()
        self._row = order + self.reserved

    def state_dict(self) -> dict[str, Any]:
        """The rows in use."""
        held = {name: self.held(name) for name in self.arrays}
        return {
            "now": self.now,
            "key": self.key[: self.count],
            "clock": self.clock[: self.count],
            **held,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; after an error nothing is changed.

        Raises:
            ValueError: arrays are missing, have other shapes, or more rows than fit.
        """
        missing = sorted({"now", "key", "clock", *self.arrays} - set(state))
        if missing:
            raise ValueError(f"the saved rows lack {', '.join(missing)}")
        saved = len(state["key"]) - self.reserved
        if saved > self.capacity:
            raise ValueError(f"the saved state has {saved:,} rows, allowed: {self.capacity:,}")
        rows: dict[str, tuple[int, ...]] = {"key": (), "clock": ()}
        rows |= {name: tuple(value.shape) for name, value in self.first.items()}
        for name, row in rows.items():
            shape, wanted = tuple(state[name].shape), (len(state["key"]), *row)
            if shape != wanted:
                raise ValueError(f"{name} is {shape} in the saved state, allowed: {wanted}")
        self.now, self.count = state["now"], len(state["key"])
        self._allocate(self.count)
        self.key[: self.count], self.clock[: self.count] = state["key"], state["clock"]
        for name in self.arrays:
            self.arrays[name][: self.count] = state[name]
        self._index()
