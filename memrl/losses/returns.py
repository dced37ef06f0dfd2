"""Advantages over a rollout whose rows contain several episodes."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def gae(
    reward: Float[Tensor, "T B"],
    value: Float[Tensor, "T B"],
    ended: Bool[Tensor, "T B"],
    bootstrap: Float[Tensor, "T B"],
    last_value: Float[Tensor, " B"],
    *,
    gamma: float,
    lam: float,
) -> Float[Tensor, "T B"]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16).

    ``ended`` marks the last steps of episodes, where the sum stops. There ``bootstrap`` replaces
    the next value: V(final observation) if the episode was truncated, 0 if it terminated; other
    entries are not used. ``last_value`` is V of the observation after the last step. Returns are
    the advantages plus ``value``.
    """
    next_value = torch.cat([value[1:], last_value.unsqueeze(0)])
    delta = reward + gamma * torch.where(ended, bootstrap, next_value) - value
    decay = gamma * lam * (~ended).to(reward.dtype)
    advantage = torch.empty_like(reward)
    running = torch.zeros_like(last_value)
    for t in range(len(reward) - 1, -1, -1):
        running = torch.addcmul(delta[t], decay[t], running, out=advantage[t])
    return advantage
