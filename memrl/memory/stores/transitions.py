"""A graph of observed transitions: nodes are keys of observations, edges are actions taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor

from memrl.memory.stores.grouping import group_by
from memrl.memory.stores.keyed_rows import MISSING, KeyedRows

UNSEEN: Final = MISSING  # the node of what was never seen: nothing was tried there
END: Final = 1  # the node after the last step of an episode


class Steps(NamedTuple):
    """n steps of any environments."""

    key: Tensor  # int64 [n]
    action: Tensor  # int64 [n]
    reward: Tensor  # [n]
    next_key: Tensor  # int64 [n]  of the observation after the step, before a reset
    ended: Tensor  # bool [n]  terminated: nothing comes after
    facts: dict[str, Tensor]  # each [n, ...], of the nodes of `key`
    next_facts: dict[str, Tensor]  # the same, of the nodes of `next_key`


def joined(parts: Sequence[Steps], valid: Tensor) -> Steps:
    """Steps in one batch [n], in order, without those rows that are not ``valid``."""

    def join(each: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(each))[valid]

    def join_facts(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: join(facts[name] for facts in each) for name in each[0]}

    return Steps(
        key=join(part.key for part in parts),
        action=join(part.action for part in parts),
        reward=join(part.reward for part in parts),
        next_key=join(part.next_key for part in parts),
        ended=join(part.ended for part in parts),
        facts=join_facts([part.facts for part in parts]),
        next_facts=join_facts([part.next_facts for part in parts]),
    )


class Added(NamedTuple):
    """Counts of a batch of steps."""

    nodes: int  # that are new
    lost: int  # nodes that made room for them


@final
class TransitionGraph:
    """Counts where each action led from each node, and the mean reward on the way.

    A node and an action keep at most ``successors`` next nodes. A further one replaces the one that
    was met least often. A full graph gives up the nodes that were visited least recently, and with
    them all edges into them: these actions count as tried less often.

    Args:
        actions: A.
        capacity: maximum number of nodes.
        successors: m, next nodes of an action; room for more than one is made when it is needed.
        facts: what else is kept of a node, with the values for a node of which nothing is known.
        device: of all tensors.
    """

    def __init__(
        self,
        actions: int,
        *,
        capacity: int,
        successors: int,
        facts: Mapping[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.actions, self.capacity, self.successors = actions, capacity, successors
        self.facts, self.device = dict(facts or {}), device
        self.rows = self._empty(1)

    def _empty(self, width: int) -> KeyedRows:
        """A graph without nodes; ``width`` is m, for now."""
        none = torch.zeros(self.actions, width, dtype=torch.int64)
        first = {"next": none + UNSEEN, "count": none, "reward": none.float(), **self.facts}
        return KeyedRows(first, capacity=self.capacity, reserved=2, device=self.device)

    @property
    def nodes(self) -> int:
        """The number of nodes, without UNSEEN and END."""
        return self.rows.count - self.rows.reserved

    @property
    def next(self) -> Tensor:
        """Next nodes, int64 [N, A, m]; UNSEEN where ``count`` is 0."""
        return self.rows.held("next")

    @property
    def count(self) -> Tensor:
        """How often the action led there: int64 [N, A, m]."""
        return self.rows.held("count")

    @property
    def reward(self) -> Tensor:
        """The mean reward of these steps: [N, A, m]."""
        return self.rows.held("reward")

    def find(self, key: Tensor) -> Tensor:
        """The node of each key [n]; UNSEEN where there is none."""
        return self.rows.find(key)

    @torch.no_grad()
    def add(self, steps: Steps) -> Added:
        """Count steps; their observations become nodes."""
        goes_on = ~steps.ended
        facts = {
            name: torch.cat([value, steps.next_facts[name][goes_on]])
            for name, value in steps.facts.items()
        }
        placed = self.rows.put(torch.cat([steps.key, steps.next_key[goes_on]]), facts)
        self._cut(placed.replaced)
        n = len(steps.key)
        target = torch.full_like(steps.key, END)
        target[goes_on] = placed.row[n:]
        self._count(placed.row[:n] * self.actions + steps.action, target, steps.reward)
        return Added(placed.new, len(placed.replaced))

    def _cut(self, gone: Tensor) -> None:
        """Remove the edges into nodes that are no more."""
        if len(gone):
            lost = torch.zeros(self.rows.count, dtype=torch.bool, device=gone.device)
            lost[gone] = True
            lost = lost[self.next]
            self.count[lost] = 0
            self.next[lost] = UNSEEN

    def _count(self, pair: Tensor, target: Tensor, reward: Tensor) -> None:
        """Count steps [n] from node × A + action to a node."""
        met = group_by(pair * self.rows.count + target)
        pair, target = met.number // self.rows.count, met.number % self.rows.count
        total = torch.zeros(len(pair), dtype=torch.float64, device=pair.device)
        mean = total.index_add(0, met.group, reward.double()) / met.size  # exact if all are equal
        old = self._at(pair, "next") == target.unsqueeze(1)
        old &= self._at(pair, "count") > 0
        again, slot = old.any(dim=1), old.to(torch.uint8).argmax(dim=1)
        self._move(pair[again], slot[again], met.size[again], mean[again])
        first = (~again).nonzero().squeeze(1)
        if len(first):
            rank = group_by(pair[first]).rank
            self._widen(int(((self._at(pair[first], "count") > 0).sum(dim=1) + rank).max()) + 1)
            for r in range(int(rank.max()) + 1):  # one for each next node that is new to one action
                own = first[rank == r]
                self._write(pair[own], target[own], met.size[own], mean[own])

    def _flat(self, name: str) -> Tensor:
        """An array of edges as [N A, m]: a view."""
        return self.rows.held(name).view(-1, self.next.shape[2])

    def _at(self, pair: Tensor, name: str) -> Tensor:
        return self._flat(name)[pair]  # [n, m]

    def _move(self, pair: Tensor, slot: Tensor, size: Tensor, mean: Tensor) -> None:
        """Count transitions again, and move their mean rewards."""
        count, reward = self._flat("count"), self._flat("reward")
        now, old = count[pair, slot] + size, reward[pair, slot].double()
        count[pair, slot] = now
        reward[pair, slot] = (old + (mean - old) * size / now).to(reward.dtype)

    def _write(self, pair: Tensor, target: Tensor, size: Tensor, mean: Tensor) -> None:
        """Write transitions, one for each pair, into the slots with the smallest counts."""
        reward, slot = self._flat("reward"), self._at(pair, "count").argmin(dim=1)
        self._flat("next")[pair, slot] = target
        self._flat("count")[pair, slot] = size
        reward[pair, slot] = mean.to(reward.dtype)

    def _widen(self, wanted: int) -> None:
        """Make room for ``wanted`` next nodes of an action, at most ``successors``."""
        more = min(wanted, self.successors) - self.next.shape[2]
        if more > 0:
            for name in ("next", "count", "reward"):
                for held in (self.rows.arrays, self.rows.first):
                    old = held[name]
                    held[name] = torch.cat([old, old.new_zeros(*old.shape[:-1], more)], dim=-1)

    def state_dict(self) -> dict[str, Any]:
        """All nodes and edges."""
        return self.rows.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; after an error nothing is changed.

        Raises:
            ValueError: see ``KeyedRows.load_state_dict``; or more successors than allowed.
        """
        width = state["next"].shape[2] if "next" in state else 1
        if width > self.successors:
            raise ValueError(
                f"the saved graph has {width} next nodes of an action, allowed: {self.successors}"
            )
        rows = self._empty(width)
        rows.load_state_dict(state)
        self.rows = rows
