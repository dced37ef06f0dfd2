"""Action heads and their distributions: sampling, log-probability, entropy, mode."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.nn.init import linear
from memrl.rollout.spaces import brief_space

HEAD_GAIN = 0.01  # the initial policy is close to uniform


def allowed(mask: Tensor) -> Tensor:
    """The allowed actions, bool [*N, A]; a mask that forbids all actions allows all."""
    return mask.bool() | ~mask.bool().any(-1, keepdim=True)


class Actions(ABC):
    """A distribution over actions for every row of the batch axes N."""

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Tensor:
        """One action a row."""

    @abstractmethod
    def mode(self) -> Tensor:
        """The most probable action of every row."""

    @abstractmethod
    def log_prob(self, action: Tensor) -> Tensor:
        """[*N] log-probability (density) of ``action``."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """[*N] in nats."""

    @abstractmethod
    def kl(self, other: Actions) -> Tensor:
        """[*N] KL(self ‖ other) in nats; ``other`` is a distribution over the same space."""

    @abstractmethod
    def parameters(self) -> dict[str, Tensor]:
        """The parameters of the distribution: logits [*N, A], or mean and std [*N, D]."""


class Categorical(Actions):
    """One of A actions; ``mask`` [*N, A] is False for forbidden ones (all False allows all)."""

    def __init__(self, logits: Tensor, mask: Tensor | None = None) -> None:
        if mask is not None:
            logits = logits.masked_fill(~allowed(mask), torch.finfo(logits.dtype).min)
        self.log_probs = F.log_softmax(logits, dim=-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        race = torch.empty_like(self.log_probs).exponential_(generator=generator)
        return (self.log_probs.exp() / race).argmax(dim=-1)  # the first of A exponential clocks

    def mode(self) -> Tensor:
        return self.log_probs.argmax(dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.log_probs.exp() * self.log_probs).sum(dim=-1)

    def kl(self, other: Actions) -> Tensor:
        assert isinstance(other, Categorical)
        return (self.log_probs.exp() * (self.log_probs - other.log_probs)).sum(dim=-1)

    def parameters(self) -> dict[str, Tensor]:
        return {"logits": self.log_probs}


class Independent(Actions):
    """Several categorical choices at once: actions int64 [*N, D]."""

    def __init__(self, parts: list[Categorical]) -> None:
        self.parts = parts

    def sample(self, generator: torch.Generator) -> Tensor:
        return torch.stack([part.sample(generator) for part in self.parts], dim=-1)

    def mode(self) -> Tensor:
        return torch.stack([part.mode() for part in self.parts], dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return sum_of(
            [part.log_prob(a) for part, a in zip(self.parts, action.unbind(-1), strict=True)]
        )

    def entropy(self) -> Tensor:
        return sum_of([part.entropy() for part in self.parts])

    def kl(self, other: Actions) -> Tensor:
        assert isinstance(other, Independent)
        return sum_of([p.kl(q) for p, q in zip(self.parts, other.parts, strict=True)])

    def parameters(self) -> dict[str, Tensor]:
        return {"logits": torch.cat([part.log_probs for part in self.parts], dim=-1)}


class Gaussian(Actions):
    """Independent normal actions float [*N, D]; the std does not depend on the observation."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean = mean
        self.log_std = log_std.expand_as(mean)

    def sample(self, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        z = (action - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * z.square() - self.log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def entropy(self) -> Tensor:
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)

    def kl(self, other: Actions) -> Tensor:
        assert isinstance(other, Gaussian)
        ratio = self.log_std - other.log_std
        z = (self.mean - other.mean) * torch.exp(-other.log_std)
        return (0.5 * (torch.expm1(2 * ratio) + z.square()) - ratio).sum(dim=-1)

    def parameters(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "std": self.log_std.exp()}


class ActionHead(nn.Module):
    """The last layer of the actor: from features to a distribution over the action space.

    Raises:
        ValueError: the space is not Discrete, MultiDiscrete, MultiBinary or a Box with one axis.
    """

    def __init__(self, in_dim: int, space: spaces.Space[Any]) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.log_std: nn.Parameter | None = None
        self.kind = type(space).__name__
        match space:
            case spaces.Discrete():
                self.sizes = [int(space.n)]
            case spaces.MultiDiscrete() if space.nvec.ndim == 1:
                self.sizes = [int(n) for n in space.nvec]
            case spaces.MultiBinary() if isinstance(space.n, int | np.integer):
                self.sizes = [2] * int(space.n)
            case spaces.Box() if len(space.shape) == 1:
                self.log_std = nn.Parameter(torch.zeros(space.shape[0]))
            case _:
                raise ValueError(
                    f"the action space is {brief_space(space)}; allowed: Discrete, MultiDiscrete, "
                    "MultiBinary and Box with one axis"
                )
        width = sum(self.sizes) if self.log_std is None else self.log_std.shape[0]
        self.layer = linear(in_dim, width, gain=HEAD_GAIN)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Actions:
        out = self.layer(features).to(self.layer.weight.dtype)  # undo autocast
        if self.log_std is not None:
            return Gaussian(out, self.log_std)
        return self._chosen(out, mask)

    def distribution(self, parameters: Mapping[str, Tensor]) -> Actions:
        """The distribution over these actions whose ``parameters()`` are given."""
        if self.log_std is not None:
            return Gaussian(parameters["mean"], parameters["std"].log())
        return self._chosen(parameters["logits"])

    def _chosen(self, out: Tensor, mask: Tensor | None = None) -> Actions:
        if self.kind == "Discrete":
            return Categorical(out, mask)
        logits = torch.split_with_sizes(out, self.sizes, dim=-1)
        masks: list[Tensor | None] = [None] * len(self.sizes)
        if mask is not None:
            masks = list(torch.split_with_sizes(mask, self.sizes, dim=-1))
        return Independent([Categorical(part, m) for part, m in zip(logits, masks, strict=True)])


def sum_of(terms: list[Tensor]) -> Tensor:
    """Add tensors of one shape."""
    return torch.stack(terms).sum(dim=0)
