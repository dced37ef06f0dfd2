"""R2D2's learner: n-step double Q-learning on sequences that start from stored states."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from memrl.agents.auxiliary import Auxiliary
from memrl.agents.gradient_step import gradient_step, parameter_groups
from memrl.agents.r2d2.config import R2D2Config
from memrl.agents.r2d2.rehearsal import Rehearsal, cloning_loss
from memrl.agents.r2d2.replay_buffer import Batch, ReplayBuffer
from memrl.losses.ppo import masked_mean, mean_count
from memrl.losses.q import Targets, n_step_targets, rescale, sequence_priority, unscale
from memrl.memory import state as states
from memrl.policies.q_network import QNetwork
from memrl.rollout.env import Obs
from memrl.rollout.times import Times


class OnlineValues(NamedTuple):
    """Outputs of the online network for a batch."""

    q: Tensor  # [unroll + n, M, A]  after the burn-in
    cost: Tensor | None  # [unroll + n, M]
    memory: Tensor  # [unroll + n, M, O]
    states_at: dict[int, Any]  # the core's state before these steps of the batch, detached


@final
class QLearner:
    """Improves a network on sequences (Kapturowski et al. 2019), with an auxiliary loss or none.

    ``times`` measures the waiting for other ranks.

    Attributes:
        rehearsal: has sequences of earlier tasks; None: there are none.
    """

    def __init__(
        self,
        network: QNetwork,
        config: R2D2Config,
        auxiliary: Auxiliary | None = None,
        times: Times | None = None,
    ) -> None:
        self.network, self.config, self.auxiliary = network, config, auxiliary
        self.times = times or Times()
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.updates = 0
        self.rehearsal: Rehearsal | None = None
        self.groups = parameter_groups(network)
        parameters = list(network.parameters())
        if auxiliary is not None:
            self.groups["auxiliary"] = list(auxiliary.parameters())
            parameters += self.groups["auxiliary"]
        self.optimizer = torch.optim.Adam(parameters, lr=config.lr, eps=1e-8, fused=True)

    def improve(self, replay: ReplayBuffer, beta: float) -> dict[str, Tensor]:
        """Make one update from a minibatch of the replay buffer and update its priorities.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; no parameter was changed.
        """
        config, batch = self.config, replay.draw(beta)
        own = len(batch.drawn.number)
        if self.rehearsal is not None:
            batch = self.rehearsal.beside(batch)
        out = self._unroll(batch)
        targets = self._targets(batch, out.q.detach())
        learned = slice(config.burn_in, config.burn_in + config.unroll)
        action = batch.steps["action"][learned].unsqueeze(-1)
        q = out.q[: config.unroll].gather(-1, action).squeeze(-1)
        valid = batch.steps["valid"][learned] & targets.known
        error = torch.where(valid, targets.value - q, 0.0)
        count = mean_count(valid)
        loss = masked_mean(0.5 * batch.weight.to(q.dtype) * error.square(), valid, count)
        cost = torch.zeros_like(loss)
        if out.cost is not None:
            cost = masked_mean(out.cost[: config.unroll], valid, count)
        total, losses = loss + config.core_cost * cost, {"Q": loss, "core": cost}
        extra: dict[str, Tensor] = {}
        if self.auxiliary is not None:
            steps = batch.steps
            also = self.auxiliary(out.memory, batch.obs, steps["start"], steps["valid"])
            total, losses["auxiliary"] = total + self.auxiliary.weight * also.loss, also.loss
            extra = {f"train/{name}": x for name, x in also.named().items()}
        if batch.taught is not None:
            cloning = cloning_loss(
                out.q[: config.unroll, own:], batch.taught[learned], valid[:, own:]
            )
            total, losses["cloning"] = total + config.rehearsal.value_weight * cloning, cloning
            extra["train/rehearsal_value"] = cloning
        norms = self._step(total, losses)
        replay.sequences.update(
            batch.drawn.number,
            sequence_priority(error.detach()[:, :own], valid[:, :own], eta=config.replay.eta),
        )
        scalars = {
            "train/loss": loss,
            "train/q": masked_mean(q, valid, count),
            "train/td_error": masked_mean(error.abs(), valid, count),
            "train/core_cost": cost,
            "memory/state_drift": self._refresh(replay, batch, out.states_at),
            **extra,
        }
        return {k: v.detach() for k, v in scalars.items()} | norms

    def _unroll(self, batch: Batch) -> OnlineValues:
        """Run the online network over a batch; gradients begin after the burn-in."""
        config, start = self.config, batch.steps["start"]
        cuts = {0, config.burn_in, len(start)} | (
            set(self._stored_offsets()) if self.config.refresh_states else set()
        )
        state, states_at, q, costs, memory = batch.state, {}, [], [], []
        for begin, end in pairwise(sorted(cuts)):
            span = slice(begin, end)
            with torch.set_grad_enabled(begin >= config.burn_in):
                out = self.network(_time_slice(batch.obs, span), state, start[span])
            state, states_at[end] = out.state, states.detach(out.state)
            if begin >= config.burn_in:
                q.append(out.q)
                memory.append(out.memory)
                costs += [] if out.cost is None else [out.cost]
        cost = torch.cat(costs) if costs else None
        return OnlineValues(torch.cat(q), cost, torch.cat(memory), states_at)

    @torch.no_grad()
    def _targets(self, batch: Batch, online: Tensor) -> Targets:
        """n-step targets of the online values, rescaled by h."""
        config, steps = self.config, batch.steps
        target_q = self.target(batch.obs, batch.state, steps["start"]).q[config.burn_in :]
        best = (online if config.double else target_q).argmax(-1, keepdim=True)
        value = unscale(target_q.gather(-1, best).squeeze(-1), config.rescale)
        reward, terminated, start = (
            steps[name][config.burn_in :] for name in ("reward", "terminated", "start")
        )
        targets = n_step_targets(
            reward.to(value.dtype), value, terminated, start, gamma=config.gamma, n=config.n_step
        )
        return targets._replace(value=rescale(targets.value, config.rescale))

    def _step(self, total: Tensor, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """One optimiser step; a loss or gradient that is not finite raises before any change."""
        norm = self.config.max_grad_norm
        waiting = self.times.of("waiting")
        norms = gradient_step(
            self.optimizer, self.groups, total, losses, max_norm=norm, waiting=waiting
        )
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target.load_state_dict(self.network.state_dict())
        return {f"grad_norm/{name}": x for name, x in norms.items()}

    def _stored_offsets(self) -> range:
        """Offsets within a sequence at which the replay buffer stores states."""
        config = self.config
        stride = config.stride or config.unroll
        return range(stride, config.length, stride)

    def _refresh(self, replay: ReplayBuffer, batch: Batch, states_at: dict[int, Any]) -> Tensor:
        """Write recomputed states back; returns their relative change, NaN without any.

        A state after a step of a replaced goal is not what the core will be in with the true one.
        """
        if not self.config.refresh_states:
            return torch.full((), math.nan)
        own = len(batch.drawn.number)
        true = ~batch.replaced[:, :own]
        changes = [
            replay.sequences.refresh(
                batch.drawn,
                offset,
                states.map_state(lambda leaf: leaf[:own], states_at[offset]),
                true[offset - 1],
            )
            for offset in self._stored_offsets()
        ]
        return torch.stack(changes).mean() if changes else torch.full((), math.nan)


def _time_slice(obs: Obs, span: slice) -> Obs:
    return {key: value[span] for key, value in obs.items()}
