"""memrl's distributions of actions as those of Stable-Baselines3."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
)
from torch import Tensor

from memrl.nn.actions import Actions


def as_sb3(actions: Actions, space: spaces.Space[Any]) -> Distribution:
    """SB3's distribution over actions [T, B], ordered by row and counted from zero."""
    given = {name: by_row(each) for name, each in actions.parameters().items()}
    match space:
        case spaces.Discrete():
            return CategoricalDistribution(int(space.n)).proba_distribution(given["logits"])
        case spaces.MultiDiscrete():
            sizes = [int(n) for n in space.nvec.reshape(-1)]
            return MultiCategoricalDistribution(sizes).proba_distribution(given["logits"])
        case spaces.MultiBinary():
            off, on = given["logits"].unflatten(-1, (-1, 2)).unbind(-1)  # type: ignore[no-untyped-call]
            return BernoulliDistribution(on.shape[-1]).proba_distribution(on - off)
    mean, std = given["mean"], given["std"]
    return DiagGaussianDistribution(mean.shape[-1]).proba_distribution(mean, std.log())


def by_row(x: Tensor) -> Tensor:
    """Steps [T, B, ...] as SB3 orders them: [B · T, ...], the steps of a row together."""
    return torch.flatten(x.transpose(0, 1), 0, 1)
