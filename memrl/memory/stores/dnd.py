"""NEC's dictionaries: for every action keys and values that last from episode to episode."""

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

# Values of G slots before, then of n writes in order: the target, which of the slots, and how many
# writes come after it in its slot; gives the values after. A new slot comes with its first target.
Rule: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Find: TypeAlias = Literal["exact", "faiss"]

CLOSEST = 4  # keys among which the one that is written again is looked for
TOGETHER = 1024  # writes that are compared with each other: their square in distances
BLOCK = 2**20  # scores that exist at a time: 4 MB
SMALL = 1e-8  # added to the root of mean squares


def towards(alpha: float) -> Rule:
    """Every target moves the value a share ``alpha`` of the way: v ← v + α (target − v)."""

    def rule(old: Tensor, target: Tensor, slot: Tensor, later: Tensor) -> Tensor:
        weight = alpha * (1 - alpha) ** later.to(target.dtype)
        return old.index_add(0, slot, weight * (target - old[slot]))  # all of a slot's at once

    return rule


def largest(old: Tensor, target: Tensor, slot: Tensor, later: Tensor) -> Tensor:
    """The value is the largest target there was: v ← max(v, target)."""
    return old.scatter_reduce(0, slot, target, "amax")


class Near(NamedTuple):
    """Entries that were found for Q queries in each of R dictionaries."""

    place: Tensor  # [R, Q, p]  dictionary × room + slot
    found: Tensor  # bool [R, Q, p]  False where the dictionary holds fewer than p
    keys: Tensor  # [R, Q, p, W]
    values: Tensor  # [R, Q, p]


class Written(NamedTuple):
    """What became of a batch of writes."""

    new: int  # entries that were added
    again: int  # writes to a key that was there, or that the batch had added
    lost: int  # entries that made room


@final
class Dictionaries:
    """One dictionary an action, from which values are read by the nearness of their keys.

    Keys and values are learned as well. What is retrieved, written or written again counts as
    used; when a dictionary is full, what was used least recently makes room.

    Args:
        actions: A.
        key_dim: W.
        capacity: entries of an action at most; room for them is allocated as they come.
        rule: what a write to a key that exists does to its value.
        tolerance: distance within which two keys are the same one.
        find: ``exact``, or ``faiss`` for an index that may miss some of the nearest.
        device: where everything lies.

    Raises:
        ValueError: faiss is wanted and not installed.
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
        self._indexes = self._build() if find == "faiss" else None

    @property
    def empty(self) -> bool:
        """Whether no dictionary holds anything."""
        return self.entries.most == 0

    def near(self, queries: Float[Tensor, "A Q W"], p: int, *, mark: bool = True) -> Near:
        """The p nearest entries of every action for its own queries, or as many as any holds.

        Which entries are found has no gradient. ``mark`` counts it as their use.
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
        """As ``near``, each query in the dictionary of its own action: [n, 1, …]."""
        table, rank = rows_by(action, queries.detach(), len(self.entries.held))
        near = Near(*(x[action, rank].unsqueeze(1) for x in self.near(table, p, mark=False)))
        if mark:
            self._mark(near.place, near.found)
        return near

    def _mark(self, place: Tensor, found: Tensor) -> None:
        """These were used now; the first of a row is found, or its dictionary is empty."""
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
        """Write in order; keys that are there have their values updated, others are added.

        Of ``TOGETHER`` writes all keys are looked up first: none that is there makes room for
        another of them.
        """
        size, done = min(self.entries.capacity, TOGETHER), Written(0, 0, 0)
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
        entries.clock[action[there], slot[there]] = entries.now  # these make no room
        own = torch.arange(len(keys), device=keys.device)
        new = (~there & (first == own)).nonzero().squeeze(1)
        slot[new], lost = entries.make_room(action[new])
        slot = slot[first]
        self._put(action, slot, targets, new)
        entries.enter(action[new], slot[new], keys[new])
        self._reindex(action[new], slot[new])
        return Written(len(new), len(keys) - len(new), lost)

    def _slots_of(self, action: Tensor, keys: Tensor) -> Tensor:
        """The slot of each key's entry, by differences and not by rounded products; or −1."""
        if self.empty:
            return torch.full_like(action, -1)
        near = self.near_of(keys, action, CLOSEST, mark=False)
        distance = (near.keys.squeeze(1) - keys.unsqueeze(1)).norm(dim=-1)  # [n, p]
        distance = torch.where(near.found.squeeze(1), distance, math.inf)
        best, which = distance.min(dim=1)
        place = near.place.squeeze(1).gather(1, which.unsqueeze(1)).squeeze(1)
        return torch.where(best <= self.tolerance, place % self.entries.room, -1)

    def _put(self, action: Tensor, slot: Tensor, targets: Tensor, new: Tensor) -> None:
        """Values of all writes, in order; a new entry begins with its first target."""
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
        """A step of RMSProp on the entries that were found, by the gradients of what was read.

        s ← decay s + (1 − decay) g²,  x ← x − lr g / (√s + ε). An entry that was read several times
        has its gradients added up; what was not read is not touched.
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
            learned[place] -= lr * g / (mean.sqrt() + SMALL)
        self._reindex(place // entries.room, place % entries.room)

    def _build(self) -> Indexes:
        """An index for every action, of what is held."""
        entries = self.entries
        indexes = Indexes(len(entries.held), entries.capacity, entries.keys.shape[2], metric="l2")
        indexes.fill(entries.keys, entries.count)
        return indexes

    def _reindex(self, action: Tensor, slot: Tensor) -> None:
        if self._indexes is not None:
            self._indexes.put_each(action, slot, self.entries.keys[action, slot])

    def state_dict(self) -> dict[str, Any]:
        """All entries. An index is not in it: it is built anew after this, here as where loaded."""
        self._indexes = None
        return self.entries.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; nothing is changed where that cannot be.

        Raises:
            ValueError: parts are missing, or they are of other sizes.
        """
        self.entries.load_state_dict(state)
        self._indexes = None
