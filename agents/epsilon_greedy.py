"""Which action to take by what each is worth: the best, or now and then any."""

from __future__ import annotations

from typing import NamedTuple

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from memrl.nn.actions import allowed
from memrl.nn.observation import ACTION_MASK
from memrl.rollout.env import BatchedEnv, Obs


class Worth(NamedTuple):
    """What the actions of B copies are worth."""

    q: Tensor  # [B, A]
    known: Tensor  # bool [A]  whether anything is known of an action at all; where not, q is 0


def number_of_actions(env: BatchedEnv, agent: str) -> int:
    """A, of an environment whose actions are a choice among few.

    Raises:
        ValueError: its actions are something else.
    """
    space = env.action_space
    if not isinstance(space, spaces.Discrete):
        raise ValueError(f"agent={agent} chooses among Discrete actions, not in {space}")
    return int(space.n)


def of_network(q: Float[Tensor, "B A"]) -> Worth:
    """The values of a network, which knows something of every action."""
    return Worth(q, torch.ones_like(q[0], dtype=torch.bool))


def open_actions(obs: Obs, q: Tensor) -> Bool[Tensor, "B A"]:
    """What the action mask allows; everything where there is none."""
    mask = obs.get(ACTION_MASK)
    return torch.ones_like(q, dtype=torch.bool) if mask is None else allowed(mask)


def best(worth: Worth, mask: Bool[Tensor, "B A"]) -> Float[Tensor, " B"]:
    """max_a Q over the actions that are allowed and known; 0 where there are none."""
    counts = mask & worth.known
    value = torch.where(counts, worth.q, -torch.inf).amax(dim=1)
    return torch.where(counts.any(dim=1), value, 0.0)


def exploit(worth: Worth, mask: Bool[Tensor, "B A"]) -> Int64[Tensor, " B"]:
    """The best known action that is allowed, of equal ones the first."""
    lowest = torch.finfo(worth.q.dtype).min
    score = torch.where(worth.known, worth.q, lowest)
    return torch.where(mask, score, -torch.inf).argmax(dim=1)


def explore(
    worth: Worth, mask: Bool[Tensor, "B A"], epsilon: Tensor | float, generator: torch.Generator
) -> Int64[Tensor, " B"]:
    """With probability ε, one for all or one a row [B], any allowed action, else the best.

    Of equal ones any. "Any" is uniform, and the best is among them.

    An action of which nothing is known comes before all others: each is tried once before the
    first comparison, and never again for that reason.
    """
    score = torch.where(worth.known, worth.q, torch.inf)
    score = torch.where(mask, score, -torch.inf)
    equal = score == score.amax(dim=1, keepdim=True)
    draws = torch.rand(len(score), 1 + score.shape[1], generator=generator, device=score.device)
    at_random = draws[:, 0] < epsilon
    among = torch.where(at_random.unsqueeze(1), mask, equal & mask)
    return torch.where(among, draws[:, 1:], -1.0).argmax(dim=1)
