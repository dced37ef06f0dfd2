"""E3B: a bonus for features in directions that are new to the episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, final

import torch
from annotated_types import Ge, Gt
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.bonus.bonus import Bonus, BonusContext, Experience, need_entries
from memrl.bonus.network import HIDDEN_DIM, Embedding, RunningStd, Trainer
from memrl.bonus.registry import BONUSES
from memrl.nn.actions import ActionHead, Actions
from memrl.nn.init import linear
from memrl.rollout.env import Obs


@BONUSES.register("elliptical")
@final
class Elliptical(Bonus):
    """b = φ(s')ᵀ C⁻¹ φ(s') with C = λI + Σ φφᵀ over the episode before s' (Henaff et al. 2022).

    φ learns to predict the action between two observations, so that it encodes what the agent can
    control. It has unit length: if φ could grow, λ would lose its effect, and b would be large for
    a few new directions and near zero for all others. The class stores C⁻¹ instead of C. Features
    in the sum of a running episode are not recomputed when φ changes.

    Args:
        context: its seed orders the minibatches; torch's global generator draws the networks.
        ridge: λ.
        feature_dim: width of φ.
        lr: Adam's step size.
        updates: Adam steps for each rollout.
    """

    common: ClassVar[frozenset[str]] = frozenset({"spread", "guess.module", "guess.optimizer"})

    def __init__(
        self,
        context: BonusContext,
        *,
        ridge: Annotated[float, Gt(0)] = 0.1,
        feature_dim: Annotated[int, Ge(1)] = 64,
        lr: Annotated[float, Gt(0)] = 1e-4,
        updates: Annotated[int, Ge(1)] = 4,
    ) -> None:
        B, space, action_space, device, keys, seed = context
        self.keys = keys
        self.guess = InverseModel(space, action_space, keys, feature_dim).to(device)
        self.empty = torch.eye(feature_dim, device=device) / ridge  # C⁻¹ before an episode
        self.inverse = self.empty.repeat(B, 1, 1)  # C⁻¹ [B, F, F]
        self.std = RunningStd(device)
        self.trainer = Trainer(self.guess, lr=lr, updates=updates, seed=seed)

    def begin(self, obs: Obs) -> None:
        first = next(iter(obs.values()))
        self.reward(obs, torch.ones(len(first), dtype=torch.bool, device=first.device))

    @torch.no_grad()
    def reward(self, obs: Obs, opens: Tensor) -> Tensor:
        self.inverse.copy_(torch.where(opens.view(-1, 1, 1), self.empty, self.inverse))
        return torch.where(opens, 0.0, grow(self.inverse, self.guess.features(obs)))

    def normalise(self, paid: Tensor, valid: Tensor) -> Tensor:
        return self.std.divide(paid, valid)

    def learn(self, seen: Experience) -> dict[str, Tensor]:
        self.guess.embed.encoder.update(seen.obs, seen.valid)
        B = seen.start.shape[1]
        flat = {key: seen.obs[key].flatten(0, 1) for key in self.keys}
        action = seen.action.flatten(0, 1)

        def loss_of(rows: Tensor) -> Tensor:
            before, after = (
                self.guess.features({key: entry[at] for key, entry in flat.items()})
                for at in (rows, rows + B)
            )
            return -self.guess(before, after).log_prob(action[rows]).mean()  # type: ignore[no-any-return]

        loss = self.trainer.train(loss_of, seen.goes_on.flatten().nonzero().squeeze(1))
        return {"bonus/loss": loss, "bonus/spread": self.std.value}

    def state_dict(self) -> dict[str, Any]:
        return {
            "inverse": self.inverse,
            "spread": dict(self.std.norm.state_dict()),
            "guess": self.trainer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        need_entries(state, self.state_dict())
        self.trainer.load_state_dict(state["guess"])
        self.std.norm.load_state_dict(state["spread"])
        self.inverse.copy_(state["inverse"])


def grow(inverse: Float[Tensor, "B F F"], x: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
    """Return xᵀ C⁻¹ x, and update C ← C + xxᵀ in place by the Sherman-Morrison formula.

    (C + xxᵀ)⁻¹ = C⁻¹ - uuᵀ / (1 + b) with u = C⁻¹x and b = xᵀu.
    """
    u = torch.bmm(inverse, x.unsqueeze(2))  # [B, F, 1]
    b = torch.bmm(x.unsqueeze(1), u)  # [B, 1, 1]
    inverse.baddbmm_(u, (u / (1 + b)).transpose(1, 2), alpha=-1)
    return b.flatten()


@final
class InverseModel(nn.Module):
    """Predict the action between two observations from their features φ."""

    def __init__(
        self,
        space: spaces.Dict,
        action_space: spaces.Space[Any],
        keys: Sequence[str],
        feature_dim: int,
    ) -> None:
        super().__init__()
        self.embed = Embedding(space, keys, feature_dim)
        self.mix = nn.Sequential(linear(2 * feature_dim, HIDDEN_DIM), nn.ReLU())
        self.head = ActionHead(HIDDEN_DIM, action_space)

    def features(self, obs: Obs) -> Tensor:
        """φ: observations [*N, ...] to [*N, F] of length 1."""
        return F.normalize(self.embed(obs), dim=-1)

    def forward(self, before: Tensor, after: Tensor) -> Actions:
        """Features [*N, F] of two observations to a distribution over actions [*N]."""
        return self.head(self.mix(torch.cat([before, after], dim=-1)))  # type: ignore[no-any-return]
