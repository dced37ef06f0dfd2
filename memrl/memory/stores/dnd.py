"""NEC's dictionaries: keys and values for every action, which outlive episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memrl.memory.stores.entries import Entries
from memrl.memory.stores.grouping import first_alike, group_by, rows_by
from memrl.memory.stores.index import Indexes
from memrl.memory.stores.search import Neighbours, nearest
from memrl.memory.stores.share import Share

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

    Several ranks can share dictionaries that are too large for one. Each holds a part of the keys
    and values, and all make the same calls in the same order, with queries and writes of their own:
    every rank gets what one store would answer to the queries of all ranks, by rank, at once.

    Args:
        actions: A.
        key_dim: W.
        capacity: maximum number of entries of an action; memory is allocated as they come.
        rule: how a write to an existing key updates its value.
        tolerance: two keys within this distance are the same.
        find: ``exact``, or the kind of an index, which may miss some of the nearest.
        device: of all tensors.
        share: the part of the entries that is here, as ``Share.of_group()``; None: all.

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
        share: Share | None = None,
    ) -> None:
        size = actions, key_dim
        self._new = partial(Entries, *size, capacity=capacity, device=device, share=share)
        self.entries = self._new()
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
        (joint,), own = self.entries.share.gather(queries.detach().transpose(0, 1))
        return Near(*(x[:, own] for x in self._near(joint.transpose(0, 1), p, mark)))

    def _near(self, queries: Tensor, p: int, mark: bool) -> Near:
        """``near`` for the queries of all ranks."""
        entries = self.entries
        hits = self._search(queries, min(p, entries.most))
        action = torch.arange(len(queries), device=hits.slot.device).view(-1, 1, 1)
        place = action * entries.room + hits.slot
        if mark:
            self._mark(place, hits.found)
        return Near(place, hits.found, entries.read("keys", place), entries.read("values", place))

    def near_of(
        self,
        queries: Float[Tensor, "n W"],
        action: Int[Tensor, " n"],
        p: int,
        *,
        mark: bool = True,
    ) -> Near:
        """Like ``near``, with each query in the dictionary of its action: [n, 1, …]."""
        (joint, actions), own = self.entries.share.gather(queries.detach(), action)
        return Near(*(x[own] for x in self._near_of(joint, actions, p, mark)))

    def _near_of(self, queries: Tensor, action: Tensor, p: int, mark: bool) -> Near:
        """``near_of`` for the queries of all ranks."""
        table, rank = rows_by(action, queries, len(self.entries.held))
        near = Near(*(x[action, rank].unsqueeze(1) for x in self._near(table, p, False)))
        if mark:
            self._mark(near.place, near.found)
        return near

    def _mark(self, place: Tensor, found: Tensor) -> None:
        """Count a use of these entries; the first of a row exists, or its dictionary is empty."""
        self.entries.now += 1
        self.entries.clock.view(-1)[torch.where(found, place, place[..., :1])] = self.entries.now

    def _search(self, queries: Tensor, k: int) -> Neighbours:
        share, held = self.entries.share, self.entries.share.size(self.entries.most)
        near = self._search_own(queries, min(k, held)) if held else None
        return share.merge(near, queries, k)

    def _search_own(self, queries: Tensor, k: int) -> Neighbours:
        """The nearest entries among those that are here."""
        entries = self.entries
        if self.find == "exact":
            count = entries.share.size(entries.count)
            keys = entries.keys[:, : entries.share.size(entries.most)]
            return nearest(queries, keys, k, metric="l2", count=count, block=BLOCK)
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
        its writes replaces an entry that it updates. The counts are those of all ranks.
        """
        (action, keys, targets), _ = self.entries.share.gather(action, keys, targets)
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
        near = self._near_of(keys, action, CANDIDATES, False)
        distance = (near.keys.squeeze(1) - keys.unsqueeze(1)).norm(dim=-1)  # [n, p]
        distance = torch.where(near.found.squeeze(1), distance, math.inf)
        best, which = distance.min(dim=1)
        place = near.place.squeeze(1).gather(1, which.unsqueeze(1)).squeeze(1)
        return torch.where(best <= self.tolerance, place % self.entries.room, -1)

    def _put(self, action: Tensor, slot: Tensor, targets: Tensor, new: Tensor) -> None:
        """Update the values, in order; a new entry starts with its first target."""
        groups = group_by(action * self.entries.room + slot)
        old, first = self.entries.read("values", groups.number), groups.rank == 0
        opening = torch.empty_like(old)
        opening[groups.group[first]] = targets[first]
        fresh = torch.zeros_like(old, dtype=torch.bool)
        fresh[groups.group[new]] = True
        later = groups.size[groups.group] - 1 - groups.rank
        old = torch.where(fresh, opening, old)
        self.entries.put("values", groups.number, self.rule(old, targets, groups.group, later))

    @torch.no_grad()
    def descend(
        self, near: Near, key_grads: Tensor, value_grads: Tensor, *, lr: float, decay: float
    ) -> None:
        """A step of RMSProp on the retrieved entries, with the gradients of keys and values.

        s ← decay s + (1 − decay) g²,  x ← x − lr g / (√s + ε). The gradients of an entry that was
        read several times are added. Other entries do not change.
        """
        entries, found = self.entries, near.found
        (place, key_grads, value_grads), _ = entries.share.gather(
            near.place[found], key_grads[found], value_grads[found]
        )
        place, inverse = place.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        here, there = entries.locate(place)
        for learned, squares, each in (
            (entries.keys, entries.key_squares, key_grads),
            (entries.values, entries.value_squares, value_grads),
        ):
            learned, squares = learned.flatten(0, 1), squares.flatten(0, 1)  # views
            g = each.new_zeros(len(place), *each.shape[1:]).index_add(0, inverse, each)[here]
            mean = decay * squares[there] + (1 - decay) * g.square()
            squares[there] = mean
            learned[there] -= lr * g / (mean.sqrt() + EPSILON)
        self._reindex(place // entries.room, place % entries.room)

    def _build(self) -> Indexes:
        """An index of the entries that are here, for every action."""
        entries, kind = self.entries, self.find
        assert kind != "exact"
        slots = entries.share.size(entries.capacity)
        indexes = Indexes(
            *(len(entries.held), slots, entries.keys.shape[2]), metric="l2", kind=kind
        )
        indexes.fill(entries.keys, entries.share.size(entries.count))
        return indexes

    def _reindex(self, action: Tensor, slot: Tensor) -> None:
        if self._indexes is not None:
            here = self.entries.share.holds(slot)
            action, slot = action[here], slot[here] // self.entries.share.ranks
            self._indexes.put_each(action, slot, self.entries.keys[action, slot])

    def state_dict(self) -> dict[str, Any]:
        """The entries that are here.

        The index is not saved; it is rebuilt after saving and after loading.
        """
        self._indexes = None
        return self.entries.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; after an error nothing is changed.

        Raises:
            ValueError: entries are missing or have other sizes, or lie at another rank.
        """
        self.entries.load_state_dict(state)
        self._indexes = None

    def load_shares(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Continue from the states of all ranks of another number of ranks, read one by one.

        Raises:
            ValueError: see ``load_state_dict``, or a state is missing. Nothing is changed then.
        """
        entries = self._new()
        entries.load_shares(states)
        self.entries, self._indexes = entries, None
