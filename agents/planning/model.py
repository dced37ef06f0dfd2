"""What the graph of transitions predicts of every action: a Markov decision process in arrays."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memrl.memory.stores.transitions import TransitionGraph

ALLOWED = "allowed"  # fact of a node: the actions that its mask allows, bool [A]


class Model(NamedTuple):
    """A model of N nodes, A actions and m next nodes of an action."""

    next: Tensor  # int64 [N, A, m]
    share: Tensor  # [N, A, m]  p(s'|s, a); 0 in slots without a next node
    reward: Tensor  # [N, A]  mean reward, plus the bonus β / √n
    known: Tensor  # bool [N, A]  tried often enough
    allowed: Tensor  # bool [N, A]

    def same(self, other: Model) -> bool:
        """Whether plans in both are the same."""
        return all(torch.equal(a, b) for a, b in zip(self, other, strict=True))


def estimate(graph: TransitionGraph, *, visits: int, beta: float) -> Model:
    """The maximum-likelihood model of the transitions so far.

    Args:
        graph: the transitions.
        visits: an action that was taken less often at a node is not known there (R-max).
        beta: β of the bonus β / √n for an action that was taken n times there (MBIE-EB).
    """
    count = graph.count
    n = count.sum(dim=2)
    share = count / n.clamp(min=1).unsqueeze(2)
    reward = (share * graph.reward).sum(dim=2) + beta * n.clamp(min=1).rsqrt()
    known = n >= visits
    allowed = graph.rows.held(ALLOWED) if ALLOWED in graph.facts else torch.ones_like(known)
    return Model(graph.next.clone(), share, reward, known, allowed.clone())
