"""Value iteration in a tabular model, for several goals at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memrl.agents.planning.model import Model


class Arrival(NamedTuple):
    """What it means to get to a node, for each of G goals; G = 1 where there are no goals."""

    reward: Tensor  # [N, G]  beside that of the model
    goes_on: Tensor  # bool [N, G]  False: the episode terminates there

    def column(self, of: Tensor) -> Arrival:
        """Some of the goals."""
        return Arrival(self.reward[:, of], self.goes_on[:, of])


class Plan(NamedTuple):
    """The values of all nodes for G goals."""

    value: Tensor  # [N, G]
    sweeps: Tensor  # int64 [G]  until no value changed


class Lookahead(NamedTuple):
    """Q(s, a) = base(s, a) + Σ_s' share(s, a, s') · worth(s'), for R nodes and A actions."""

    next: Tensor  # int64 [R, A, m]  s'
    share: Tensor  # [R, A, m]  p(s'|s, a) of known actions, else 0
    base: Tensor  # [R, A]  r(s, a) of known actions; −∞ where an action is not allowed

    def at(self, node: Tensor) -> Lookahead:
        """The rows of some nodes [B]."""
        return Lookahead(*(rows[node] for rows in self))


def lookahead(model: Model, unknown: float | None) -> Lookahead:
    """One step ahead in a model; ``unknown``: the value of unknown actions, None: −∞."""
    value = -torch.inf if unknown is None else unknown
    base = torch.where(model.known, model.reward, value).masked_fill(~model.allowed, -torch.inf)
    return Lookahead(model.next, torch.where(model.known.unsqueeze(2), model.share, 0.0), base)


def worth(value: Tensor, arrival: Arrival, gamma: float) -> Tensor:
    """What a step to each node is worth: r(s') + γ V(s'), [N, G]."""
    return arrival.reward + torch.where(arrival.goes_on, gamma * value, 0.0)


def action_values(ahead: Lookahead, worth: Tensor) -> Tensor:
    """Q of R nodes: [R, A, G]; ``worth``: r(s') + γ V(s') of all nodes, [N, G]."""
    q = ahead.base.unsqueeze(2)
    # Slot by slot and in place: the sum's order is the same for every G, and so is its last bit.
    for next_node, share in zip(ahead.next.unbind(2), ahead.share.unbind(2), strict=True):
        expected = worth.index_select(0, next_node.flatten()).view(*next_node.shape, -1)
        q = expected.mul_(share.unsqueeze(2)).add_(q)
    return q


def state_values(q: Tensor) -> Tensor:
    """V(s) = max_a Q(s, a), [R, G]; 0 where no action has a value."""
    best = q.amax(dim=1)
    return best.masked_fill_(best == -torch.inf, 0.0)


def value_iteration(ahead: Lookahead, arrival: Arrival, *, gamma: float, sweeps: int) -> Plan:
    """V_k, the best return of k steps, for k = 1, 2, … until nothing changes or k is ``sweeps``.

    It begins at 0 and not at an older plan's values: where values fell, in loops of nodes each
    of which was worth much because the next one was, sweeps would lower them by γ at a time. From 0
    they are exact as soon as k is the length of the longest best way to a reward.

    Every goal's values depend on the model and that goal alone, to the last bit.

    Args:
        ahead: of N nodes.
        arrival: of N nodes and G goals.
        gamma: γ, discount per env step.
        sweeps: updates of all values at most: env steps that are looked ahead.
    """
    value = torch.zeros_like(arrival.reward)
    count = torch.zeros(value.shape[1], dtype=torch.int64, device=value.device)
    for _ in range(sweeps):
        new = state_values(action_values(ahead, worth(value, arrival, gamma)))
        moved = (new != value).any(dim=0)
        value, count = new, count + moved
        if not moved.any():
            break
    return Plan(value, count)
