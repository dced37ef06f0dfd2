"""R2D2's learner: n-step double Q-learning on sequences from a stored state."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from memrl.agents.gradient_step import gradient_step, groups_of
from memrl.agents.r2d2.config import R2D2Config
from memrl.agents.r2d2.experience import Batch, Experience
from memrl.losses.ppo import masked_mean
from memrl.losses.q import Targets, n_step_targets, rescale, sequence_priority, unscale
from memrl.memory import state as states
from memrl.policies.q_network import QNetwork
from memrl.rollout.env import Obs


class Unrolled(NamedTuple):
    """What the online network makes of a batch."""

    q: Tensor  # [unroll + n, M, A]  behind the burn-in
    cost: Tensor | None  # [unroll + n, M]
    visited: dict[int, Any]  # the core's state before these steps of the batch, without history


@final
class QLearner:
    """Improves a network on sequences (Kapturowski et al. 2019)."""

    def __init__(self, network: QNetwork, config: R2D2Config) -> None:
        self.network, self.config = network, config
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.updates = 0
        self.groups = groups_of(network)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, eps=1e-8, fused=True)

    def improve(self, experience: Experience, beta: float) -> dict[str, Tensor]:
        """One update from a batch of the replay, whose priorities it renews.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; nothing was changed by it.
        """
        config, batch = self.config, experience.draw(beta)
        out = self._unroll(batch)
        targets = self._targets(batch, out.q.detach())
        learned = slice(config.burn_in, config.burn_in + config.unroll)
        action = batch.steps["action"][learned].unsqueeze(-1)
        q = out.q[: config.unroll].gather(-1, action).squeeze(-1)
        valid = batch.steps["valid"][learned] & targets.known
        error = torch.where(valid, targets.value - q, 0.0)
        loss = masked_mean(0.5 * batch.weight.to(q.dtype) * error.square(), valid)
        cost = torch.zeros_like(loss)
        if out.cost is not None:
            cost = masked_mean(out.cost[: config.unroll], valid)
        norms = self._step(loss + config.core_cost * cost, {"Q": loss, "core": cost})
        experience.sequences.update(
            batch.drawn.number, sequence_priority(error.detach(), valid, eta=config.replay.eta)
        )
        scalars = {
            "train/loss": loss,
            "train/q": masked_mean(q, valid),
            "train/td_error": masked_mean(error.abs(), valid),
            "train/core_cost": cost,
            "memory/state_drift": self._refresh(experience, batch, out.visited),
        }
        return {k: v.detach() for k, v in scalars.items()} | norms

    def _unroll(self, batch: Batch) -> Unrolled:
        """The online network over a batch, with gradients behind the burn-in."""
        config, start = self.config, batch.steps["start"]
        cuts = {0, config.burn_in, len(start)} | (
            set(self._kept()) if self.config.refresh_states else set()
        )
        state, visited, q, costs = batch.state, {}, [], []
        for begin, end in pairwise(sorted(cuts)):
            span = slice(begin, end)
            with torch.set_grad_enabled(begin >= config.burn_in):
                out = self.network(_cut(batch.obs, span), state, start[span])
            state, visited[end] = out.state, states.detach(out.state)
            if begin >= config.burn_in:
                q.append(out.q)
                costs += [] if out.cost is None else [out.cost]
        return Unrolled(torch.cat(q), torch.cat(costs) if costs else None, visited)

    @torch.no_grad()
    def _targets(self, batch: Batch, online: Tensor) -> Targets:
        """What the online values should have been, on their scale."""
        config, steps = self.config, batch.steps
        judged = self.target(batch.obs, batch.state, steps["start"]).q[config.burn_in :]
        best = (online if config.double else judged).argmax(-1, keepdim=True)
        value = unscale(judged.gather(-1, best).squeeze(-1), config.rescale)
        reward, terminated, start = (
            steps[name][config.burn_in :] for name in ("reward", "terminated", "start")
        )
        targets = n_step_targets(
            reward.to(value.dtype), value, terminated, start, gamma=config.gamma, n=config.n_step
        )
        return targets._replace(value=rescale(targets.value, config.rescale))

    def _step(self, total: Tensor, named: dict[str, Tensor]) -> dict[str, Tensor]:
        """One optimiser step; nothing is changed when a loss or a gradient is not finite."""
        norm = self.config.max_grad_norm
        norms = gradient_step(self.optimizer, self.groups, total, named, max_norm=norm)
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target.load_state_dict(self.network.state_dict())
        return {f"grad_norm/{name}": x for name, x in norms.items()}

    def _kept(self) -> range:
        """Steps inside of a sequence whose states the replay keeps."""
        config = self.config
        stride = config.stride or config.unroll
        return range(stride, config.burn_in + config.unroll + config.n_step, stride)

    def _refresh(self, experience: Experience, batch: Batch, visited: dict[int, Any]) -> Tensor:
        """Write back the states that were met; returns their relative change, NaN if none was."""
        if not self.config.refresh_states:
            return torch.full((), math.nan)
        keep = ~batch.fresh
        changes = [
            experience.sequences.refresh(batch.drawn, offset, visited[offset], keep)
            for offset in self._kept()
        ]
        return torch.stack(changes).mean() if changes else torch.full((), math.nan)


def _cut(obs: Obs, span: slice) -> Obs:
    return {key: value[span] for key, value in obs.items()}
