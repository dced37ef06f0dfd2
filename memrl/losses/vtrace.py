"""V-trace (Espeholt et al. 2018): learning from what another policy did, in several episodes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.losses.ppo import masked_mean


class VTrace(NamedTuple):
    """Targets of the critic, and what each action was better by than expected."""

    target: Tensor  # [T, B]  v_s
    advantage: Tensor  # [T, B]  ρ_s (r_s + γ v_{s+1} − V(x_s)); 0 where a row was cut


class VTraceLoss(NamedTuple):
    """Scalars over the valid steps of a minibatch."""

    policy: Tensor  # −log π(a_s|x_s) ρ_s (r_s + γ v_{s+1} − V(x_s))
    value: Tensor  # ½ (v_s − V(x_s))²


def vtrace(
    log_ratio: Float[Tensor, "T B"],
    reward: Float[Tensor, "T B"],
    value: Float[Tensor, "T B"],
    terminated: Bool[Tensor, "T B"],
    cut: Bool[Tensor, "T B"],
    *,
    gamma: float,
    rho: float = 1.0,
    c: float = 1.0,
) -> VTrace:
    """V-trace targets (section 4.1, eq. 1) and advantages of the policy gradient (section 4.2).

    Args:
        log_ratio: log π(a|x) − log μ(a|x) of the policy that learns and the one that acted.
        reward: of each step.
        value: V(x_s) of the observation *before* each step.
        terminated: steps after which there is no value.
        cut: steps after which the next observation is not in the sequence: the last of a row, or a
            truncated one, and not terminated. Earlier steps bootstrap with the value before it; it
            has no target of its own (``target`` is its value).
        gamma: discount.
        rho: ρ̄, limits the ratios of the temporal differences, and so the policy that is evaluated.
        c: c̄, limits the ratios by which later differences reach back.
    """
    ratio = log_ratio.exp()
    rhos, cs, goes_on = ratio.clamp(max=rho), ratio.clamp(max=c), ~(terminated | cut)

    def behind(x: Tensor) -> Tensor:
        """What the next step has, where the episode goes on."""
        return torch.where(goes_on, torch.cat([x[1:], torch.zeros_like(x[:1])]), 0.0)

    delta = torch.where(cut, 0.0, rhos * (reward + gamma * behind(value) - value))
    gains = torch.empty_like(value)  # v_s − V(x_s)
    running = torch.zeros_like(value[0])
    for t in range(len(value) - 1, -1, -1):
        running = delta[t] + gamma * cs[t] * torch.where(goes_on[t], running, 0.0)
        gains[t] = running
    target = value + gains
    advantage = torch.where(cut, 0.0, rhos * (reward + gamma * behind(target) - value))
    return VTrace(target, advantage)


def vtrace_loss(
    log_prob: Float[Tensor, "*N"],
    value: Float[Tensor, "*N"],
    target: Float[Tensor, "*N"],
    advantage: Float[Tensor, "*N"],
    valid: Bool[Tensor, "*N"],
    count: Float[Tensor, ""],
) -> VTraceLoss:
    """The terms of the loss, with constant targets and advantages; the caller weights them.

    ``count`` is `mean_count` of ``valid``.
    """
    gain = torch.where(valid, log_prob, 0.0) * advantage
    error = 0.5 * (value - target).square()
    return VTraceLoss(-masked_mean(gain, valid, count), masked_mean(error, valid, count))
