"""NEC's dictionaries: keys and values for every action, which outlive episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memrl.memory.stores.entries import Entries
from memrl.memory.stores.grouping import first_alike, group_by, rows_by
from memrl.memory.stores.index import Indexes
from memrl.memory.stores.search import Neighbours, nearest

# Computes the new values of G slots from their values and n writes in order: for each write the
# target, the slot, and how many later writes have the same slot. A new slot comes with its first
# target as the value.
Rule: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Find: TypeAlias = Literal["exact", "ivf", "lsh"]

CANDIDATES = 4  # nearest keys that are checked for an equal one
CHUNK = 1024  # writes that are compared with each other, by all their distances
BLOCK = 2**20  # scores computed at a time: 4 MB
EPSILON = 1e-8  # added to the root mean square


def towards(alpha: float) -> Rule:
    """Every target moves the value by v ← v + α (target − v)."""

    def rule(old: Tensor, target: Tensor, slot: Tensor, later: Tensor) -> Tensor:
        weight = alpha * (1 - alpha) ** later.to(target.dtype)
        return old.index_add(0, slot, weight * (target - old[slot]))  # all writes to a slot at once

    return rule


def largest(old: Tensor, target: Tensor, slot: Tensor, later: Tensor) -> Tensor:
    """The value is the largest target so far: v ← max(v, target)."""
    return old.scatter_reduce(0, slot, target, "amax")


class Near(NamedTuple):
    """The entries found for Q queries in each of R dictionaries."""

    place: Tensor  # [R, Q, p]  flat index: dictionary × room + slot
    found: Tensor  # bool [R, Q, p]  False where the dictionary holds fewer than p
    keys: Tensor  # [R, Q, p, W]
    values: Tensor  # [R, Q, p]


class Written(NamedTuple):
    """Counts of a batch of writes."""

    new: int  # added entries
    again: int  # updates of an existing key, or of one added earlier in the batch
    lost: int  # replaced entries


@final
class Dictionaries:
    """One dictionary for each action; a lookup returns the entries with the nearest keys.

    Keys and values are learned. Retrieving or writing an entry counts as a use. A full dictionary
    replaces the least recently used entry.

    Args:
        actions: A.
        key_dim: W.
        capacity: maximum number of entries of an action; memory is allocated as they come.
        rule: how a write to an existing key updates its value.
        tolerance: two keys within this distance are the same.
        find: ``exact``, or the kind of an index, which may miss some of the nearest.
        device: of all tensors.

    Raises:
        ValueError: faiss is needed and not installed.
    """

    def __init__(
        self,
        actions: int,
        key_dim: int,
        *,
        capacity: int,
        rule: Rule,
        tolerance: float,
        find: Find = "exact",
        device: torch.device | str = "cpu",
    ) -> None:
        self.entries = Entries(actions, key_dim, capacity=capacity, device=device)
        self.rule, self.tolerance, self.find = rule, tolerance, find
        self._indexes = None if find == "exact" else self._build()

    @property
    def empty(self) -> bool:
        """Whether all dictionaries are empty."""
        return self.entries.most == 0

    def near(self, queries: Float[Tensor, "A Q W"], p: int, *, mark: bool = True) -> Near:
        """The nearest entries of every action for its queries; at most p, or the largest count.

        The choice of entries has no gradient. ``mark`` counts the lookup as a use.
        """
        entries = self.entries
        hits = self._search(queries.detach(), min(p, entries.most))
        action = torch.arange(len(queries), device=hits.slot.device).view(-1, 1, 1)
        place = action * entries.room + hits.slot
        if mark:
            self._mark(place, hits.found)
        keys, values = entries.keys.flatten(0, 1)[place], entries.values.flatten()[place]
        return Near(place, hits.found, keys, values)

    def near_of(
        self,
        queries: Float[Tensor, "n W"],
        action: Int[Tensor, " n"],
        p: int,
        *,
        mark: bool = True,
    ) -> Near:
        """Like ``near``, with each query in the dictionary of its action: [n, 1, …]."""
        table, rank = rows_by(action, queries.detach(), len(self.entries.held))
        near = Near(*(x[action, rank].unsqueeze(1) for x in self.near(table, p, mark=False)))
        if mark:
            self._mark(near.place, near.found)
        return near

    def _mark(self, place: Tensor, found: Tensor) -> None:
        """Count a use of these entries; the first of a row exists, or its dictionary is empty."""
        self.entries.now += 1
        self.entries.clock.view(-1)[torch.where(found, place, place[..., :1])] = self.entries.now

    def _search(self, queries: Tensor, k: int) -> Neighbours:
        entries = self.entries
        if self.find == "exact":
            held = entries.keys[:, : entries.most]
            return nearest(queries, held, k, metric="l2", count=entries.count, block=BLOCK)
        if self._indexes is None:
            self._indexes = self._build()
        return self._indexes.nearest(queries, k)

    @torch.no_grad()
    def write(
        self,
        action: Int[Tensor, " n"],
        keys: Float[Tensor, "n W"],
        targets: Float[Tensor, " n"],
    ) -> Written:
        """Write in order: update the values of existing keys, and add the others.

        Large batches are written in chunks. A chunk looks up all of its keys first, so that none of
        its writes replaces an entry that it updates.
        """
        size, done = min(self.entries.capacity, CHUNK), Written(0, 0, 0)
        for low in range(0, len(keys), size):
            part = slice(low, low + size)
            new, again, lost = self._write(action[part], keys[part], targets[part])
            done = Written(done.new + new, done.again + again, done.lost + lost)
        return done

    def _write(self, action: Tensor, keys: Tensor, targets: Tensor) -> Written:
        entries = self.entries
        entries.now += 1
        first = first_alike(keys, action, self.tolerance)
        slot = self._slots_of(action, keys)[first]  # −1: no such key
        there = slot >= 0
        entries.clock[action[there], slot[there]] = entries.now  # so that they are not replaced
        own = torch.arange(len(keys), device=keys.device)
        new = (~there & (first == own)).nonzero().squeeze(1)
        slot[new], lost = entries.make_room(action[new])
        slot = slot[first]
        self._put(action, slot, targets, new)
        entries.enter(action[new], slot[new], keys[new])
        self._reindex(action[new], slot[new])
        return Written(len(new), len(keys) - len(new), lost)

    def _slots_of(self, action: Tensor, keys: Tensor) -> Tensor:
        """The slot of each key's entry, or −1; compares exact differences, not rounded products."""
        if self.empty:
            return torch.full_like(action, -1)
        near = self.near_of(keys, action, CANDIDATES, mark=False)
        distance = (near.keys.squeeze(1) - keys.unsqueeze(1)).norm(dim=-1)  # [n, p]
        distance = torch.where(near.found.squeeze(1), distance, math.inf)
        best, which = distance.min(dim=1)
        place = near.place.squeeze(1).gather(1, which.unsqueeze(1)).squeeze(1)
        return torch.where(best <= self.tolerance, place % self.entries.room, -1)

    def _put(self, action: Tensor, slot: Tensor, targets: Tensor, new: Tensor) -> None:
        """Update the values, in order; a new entry starts with its first target."""
        groups = group_by(action * self.entries.room + slot)
        values = self.entries.values.view(-1)
        old, first = values[groups.number], groups.rank == 0
        opening = torch.empty_like(old)
        opening[groups.group[first]] = targets[first]
        fresh = torch.zeros_like(old, dtype=torch.bool)
        fresh[groups.group[new]] = True
        later = groups.size[groups.group] - 1 - groups.rank
        old = torch.where(fresh, opening, old)
        values[groups.number] = self.rule(old, targets, groups.group, later)

    @torch.no_grad()
    def descend(
        self, near: Near, key_grads: Tensor, value_grads: Tensor, *, lr: float, decay: float
    ) -> None:
        """A step of RMSProp on the retrieved entries, with the gradients of keys and values.

        s ← decay s + (1 − decay) g²,  x ← x − lr g / (√s + ε). The gradients of an entry that was
        read several times are added. Other entries do not change.
        """
        entries, dim = self.entries, self.entries.keys.shape[2]
        place, inverse = near.place[near.found].unique(return_inverse=True)  # type: ignore[no-untyped-call]
        for learned, squares, grads in (
            (entries.keys.view(-1, dim), entries.key_squares.view(-1, dim), key_grads),
            (entries.values.view(-1), entries.value_squares.view(-1), value_grads),
        ):
            each = grads[near.found]
            g = each.new_zeros(len(place), *each.shape[1:]).index_add(0, inverse, each)
            mean = decay * squares[place] + (1 - decay) * g.square()
            squares[place] = mean
            learned[place] -= lr * g / (mean.sqrt() + EPSILON)
        self._reindex(place // entries.room, place % entries.room)

    def _build(self) -> Indexes:
        """An index of all entries for every action."""
        entries, kind = self.entries, self.find
        assert kind != "exact"
        size = len(entries.held), entries.capacity, entries.keys.shape[2]
        indexes = Indexes(*size, metric="l2", kind=kind)
        indexes.fill(entries.keys, entries.count)
        return indexes

    def _reindex(self, action: Tensor, slot: Tensor) -> None:
        if self._indexes is not None:
            self._indexes.put_each(action, slot, self.entries.keys[action, slot])

    def state_dict(self) -> dict[str, Any]:
        """All entries. The index is not saved; it is rebuilt after saving and after loading."""
        self._indexes = None
        return self.entries.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; after an error nothing is changed.

        Raises:
            ValueError: entries are missing or have other sizes.
        """
        self.entries.load_state_dict(state)
        self._indexes = None
