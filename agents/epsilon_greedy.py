"""Greedy and ε-greedy choice of actions by their values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from memrl.nn.actions import allowed
from memrl.rollout.env import BatchedEnv, Obs
from memrl.rollout.spaces import MASK, brief_space


class ActionValues(NamedTuple):
    """Estimated values of the actions in B environments."""

    q: Tensor  # [B, A]
    estimated: Tensor  # bool [A]  False: the action has no estimate yet, and its q is 0


def number_of_actions(env: BatchedEnv, agent: str) -> int:
    """The number A of actions of an environment with a Discrete action space.

    Raises:
        ValueError: the action space is not Discrete.
    """
    space = env.action_space
    if not isinstance(space, spaces.Discrete):
        raise ValueError(
            f"agent={agent} chooses among Discrete actions, not in {brief_space(space)}"
        )
    return int(space.n)


def all_estimated(q: Float[Tensor, "B A"]) -> ActionValues:
    """The values of a network, which estimates every action."""
    return ActionValues(q, torch.ones_like(q[0], dtype=torch.bool))


def allowed_actions(obs: Obs, q: Tensor) -> Bool[Tensor, "B A"]:
    """The actions that the mask allows; all of them without a mask."""
    mask = obs.get(MASK)
    return torch.ones_like(q, dtype=torch.bool) if mask is None else allowed(mask)


def best_value(values: ActionValues, mask: Bool[Tensor, "B A"]) -> Float[Tensor, " B"]:
    """max_a Q over the actions that are allowed and estimated; 0 where there are none."""
    considered = mask & values.estimated
    value = torch.where(considered, values.q, -torch.inf).amax(dim=1)
    return torch.where(considered.any(dim=1), value, 0.0)


def greedy_action(values: ActionValues, mask: Bool[Tensor, "B A"]) -> Int64[Tensor, " B"]:
    """The allowed action with the highest estimated value; the first one of a tie."""
    lowest = torch.finfo(values.q.dtype).min
    score = torch.where(values.estimated, values.q, lowest)
    return torch.where(mask, score, -torch.inf).argmax(dim=1)


def epsilon_greedy_action(
    values: ActionValues,
    mask: Bool[Tensor, "B A"],
    epsilon: Tensor | float,
    generator: torch.Generator,
) -> Int64[Tensor, " B"]:
    """A uniform allowed action with probability ε, else the allowed action of the highest value.

    ``epsilon`` is one number for all rows or one for each row [B]. Ties are broken at random. The
    uniform choice includes the best action. An action without an estimate counts as the best, so
    that each action is tried once before values are compared.
    """
    score = torch.where(values.estimated, values.q, torch.inf)
    score = torch.where(mask, score, -torch.inf)
    tied = score == score.amax(dim=1, keepdim=True)
    draws = torch.rand(len(score), 1 + score.shape[1], generator=generator, device=score.device)
    at_random = draws[:, 0] < epsilon
    candidates = torch.where(at_random.unsqueeze(1), mask, tied & mask)
    return torch.where(candidates, draws[:, 1:], -1.0).argmax(dim=1)
