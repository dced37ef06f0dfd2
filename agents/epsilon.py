"""ε-greedy choice among the actions that are allowed."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.nn.observation import ACTION_MASK
from memrl.q_network import allowed
from memrl.rollout.env import Obs


def epsilon_greedy(
    q: Tensor, obs: Obs, epsilon: Tensor | float, generator: torch.Generator
) -> Tensor:
    """The best action of each row of ``q`` [B, A], or with probability ``epsilon`` any other.

    "Any" is uniform over the actions that the observation's mask allows, the best one included.
    """
    B = len(q)
    mask = obs.get(ACTION_MASK)
    open_ = torch.ones_like(q) if mask is None else allowed(mask).to(q.dtype)
    clocks = torch.empty_like(q).exponential_(generator=generator)
    explored = (open_ / clocks).argmax(-1)  # the first of the allowed actions' clocks
    explores = torch.rand(B, generator=generator, device=q.device) < epsilon
    return torch.where(explores, explored, q.argmax(-1))


def ladder(epsilon: float, alpha: float, copies: int, device: torch.device) -> Tensor:
    """ε of every copy, ε^(1 + α i / (B − 1)): from explorers to players (Horgan et al. 2018)."""
    place = torch.arange(copies, device=device) / max(1, copies - 1)
    return epsilon ** (1 + alpha * place)
