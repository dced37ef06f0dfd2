"""Advantages and value targets of a rollout (GAE)."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.losses.returns import gae
from memrl.nn.normalise import RunningNorm
from memrl.rollout.storage import Rollout


def compute_advantages(
    r: Rollout,
    *,
    gamma: float,
    lam: float,
    bonus_scale: float = 0.0,
    return_norm: RunningNorm | None = None,
) -> Tensor:
    """Write advantages and value targets [T, B] into the rollout.

    A truncated step bootstraps with the value of its final observation. With ``return_norm`` the
    critic's outputs and targets are standardised returns.

    Returns:
        The targets [T, B] before standardisation, in units of reward.
    """

    def raw(value: Tensor) -> Tensor:
        if return_norm is None:
            return value
        return return_norm.inverse(value.unsqueeze(-1)).squeeze(-1)

    value, truncated = raw(r.value), r.truncated & ~r.terminated
    advantage = gae(
        r.reward + bonus_scale * r.bonus,
        value,
        r.ended,
        torch.where(truncated, raw(r.bootstrap), 0.0),
        raw(r.last_value),
        gamma=gamma,
        lam=lam,
    )
    returns = advantage + value
    target = returns if return_norm is None else return_norm(returns.unsqueeze(-1)).squeeze(-1)
    r.advantage.copy_(advantage)  # in place: a captured learner reads these tensors
    r.target.copy_(target)
    return returns
