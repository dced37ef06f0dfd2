"""NovelD: a bonus for a step from a familiar to a novel observation, once in an episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, final

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from memrl.bonus.bonus import Bonus, BonusContext, Experience, need_entries
from memrl.bonus.episode_set import EpisodeSet
from memrl.bonus.network import Embedding, RunningStd, Trainer
from memrl.bonus.registry import BONUSES
from memrl.rollout.env import Obs


@BONUSES.register("novelty_difference")
@final
class NoveltyDifference(Bonus):
    """max(n(s') - α n(s), 0) where s' is new in the episode, else 0 (Zhang et al. 2021, eq. 3).

    n(s) = ‖f(s) - f̂(s)‖ is the novelty of random network distillation (Burda et al. 2019): f is a
    fixed random network, and f̂ learns to predict it from every rollout.

    Args:
        context: its seed orders the minibatches; torch's global generator draws the networks.
        capacity: distinct observations that are stored for an episode.
        alpha: α.
        feature_dim: width of f(s).
        lr: Adam's step size for f̂.
        updates: Adam steps for each rollout.
    """

    common: ClassVar[frozenset[str]] = frozenset(
        {"spread", "target", "predictor.module", "predictor.optimizer"}
    )

    def __init__(
        self,
        context: BonusContext,
        *,
        capacity: Annotated[int, Ge(1)] = 512,
        alpha: Annotated[float, Ge(0), Le(1)] = 0.5,
        feature_dim: Annotated[int, Ge(1)] = 64,
        lr: Annotated[float, Gt(0)] = 1e-4,
        updates: Annotated[int, Ge(1)] = 4,
    ) -> None:
        B, space, _, device, keys, seed = context
        self.alpha, self.keys = alpha, keys
        self.visited = EpisodeSet.of(context, capacity)
        self.target = Embedding(space, keys, feature_dim).requires_grad_(False).to(device)
        self.predictor = Embedding(space, keys, feature_dim, layers=1).to(device)
        self.novelty = torch.zeros(B, device=device)  # n(s) of the present observation
        self.std = RunningStd(device)
        self.trainer = Trainer(self.predictor, lr=lr, updates=updates, seed=seed)

    def begin(self, obs: Obs) -> None:
        self.visited.begin(obs)
        self.novelty.copy_(self._novelty(obs))

    def reward(self, obs: Obs, opens: Tensor) -> Tensor:
        new = self.visited.visit(obs, opens)
        novelty = self._novelty(obs)
        gain = (novelty - self.alpha * self.novelty).clamp(min=0.0)
        self.novelty.copy_(novelty)
        return torch.where(new, gain, 0.0)

    def normalise(self, paid: Tensor, valid: Tensor) -> Tensor:
        return self.std.divide(paid, valid)

    def learn(self, seen: Experience) -> dict[str, Tensor]:
        flat = {key: seen.obs[key].flatten(0, 1) for key in self.keys}
        for net in (self.target, self.predictor):
            net.encoder.update(seen.obs, seen.valid)

        def loss_of(rows: Tensor) -> Tensor:
            obs = {key: entry[rows] for key, entry in flat.items()}
            return (self.predictor(obs) - self.target(obs)).square().mean()  # type: ignore[no-any-return]

        loss = self.trainer.train(loss_of, seen.valid.flatten().nonzero().squeeze(1))
        self.novelty.copy_(self._novelty(seen.now))
        return {
            "bonus/loss": loss,
            "bonus/novelty": self.novelty.mean(),
            "bonus/spread": self.std.value,
        }

    @torch.no_grad()
    def _novelty(self, obs: Obs) -> Tensor:
        return (self.predictor(obs) - self.target(obs)).norm(dim=-1)  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, Any]:
        return {
            **self.visited.state_dict(),
            "novelty": self.novelty,
            "spread": dict(self.std.norm.state_dict()),
            "target": dict(self.target.state_dict()),
            "predictor": self.trainer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        need_entries(state, own)
        self.trainer.load_state_dict(state["predictor"])
        self.target.load_state_dict(state["target"])
        self.std.norm.load_state_dict(state["spread"])
        for name in ("seen", "count", "novelty"):
            own[name].copy_(state[name])
