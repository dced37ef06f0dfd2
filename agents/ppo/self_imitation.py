"""Self-imitation: learn again from the agent's own best episodes (Oh et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from memrl.agents.ppo.config import SelfImitationConfig
from memrl.agents.ppo.learner import Learner
from memrl.agents.training_metrics import Averages
from memrl.distributed.collectives import sum_over_ranks
from memrl.losses.ppo import masked_mean
from memrl.losses.self_imitation import self_imitation_loss
from memrl.nn.normalise import RunningNorm
from memrl.replay.episodes import BestEpisodes
from memrl.replay.steps import OBS, named, observed
from memrl.rollout.env import Obs
from memrl.rollout.storage import Rollout

REPORTED = ("policy", "value", "positive", "return")


@final
class SelfImitation:
    """Stores the best episodes and makes a few optimiser steps on them each iteration.

    Returns R are computed from the environment's rewards, without any bonus; a truncated episode
    bootstraps with the critic's value of its final observation. V and the memory's states are
    recomputed with the present network, from each episode's start. The last ``longest`` steps of
    every environment are stored, so that an episode may span rollouts; longer episodes are not
    stored.

    Args:
        learner: its policy, optimiser and clipping are used.
        rollout: an example of the rollouts to come, for shapes.
        obs: an example of its observations, each [B, ...].
        config: the options of self-imitation.
        gamma: discount per env step.
        return_norm: standardises the critic's predictions; None: they are not standardised.
        generator: samples episodes.
    """

    def __init__(
        self,
        learner: Learner,
        rollout: Rollout,
        obs: Obs,
        config: SelfImitationConfig,
        *,
        gamma: float,
        return_norm: RunningNorm | None,
        generator: torch.Generator,
    ) -> None:
        self.learner, self.config, self.gamma = learner, config, gamma
        self.return_norm, self.generator = return_norm, generator
        example = named(obs)
        example["action"] = rollout.action[0]
        stored = example | {"returns": rollout.reward[0]}
        self.best = BestEpisodes(config.capacity, config.longest, stored)
        example |= {"reward": rollout.reward[0], "value": rollout.value[0]}
        self.recent = {  # each [longest, B, ...], the last steps of every environment
            name: row.new_zeros(config.longest, *row.shape) for name, row in example.items()
        }

    def store(self, r: Rollout) -> None:
        """Store the best of the episodes that ended in a rollout."""
        L = self.config.longest
        steps = {name: torch.cat([x, _steps(r, name)]) for name, x in self.recent.items()}
        self.recent = {name: x[-L:].clone() for name, x in steps.items()}
        ended = (r.terminated | r.truncated) & r.valid & (r.episode_length <= L)
        t, b = ended.nonzero(as_tuple=True)
        if not len(t):
            return
        length = r.episode_length[t, b].long()
        offset = torch.arange(L, device=t.device).unsqueeze(1)  # [L, 1]
        at = (L + t - length + 1 + offset).clamp(max=L + len(r.reward) - 1), b.expand(L, -1)
        truncated = r.truncated[t, b] & ~r.terminated[t, b]
        bootstrap = torch.where(truncated, self._unstandardise(r.bootstrap[t, b]), 0.0)
        valid = offset < length
        returns = _returns(steps["reward"][at], valid, bootstrap, self.gamma)  # [L, n]
        gain = (self._standardise(returns) - steps["value"][at]).clamp(min=0.0)
        selected, slots = self.best.admit(returns[0])
        where = at[0][:, selected], at[1][:, selected]
        items = {n: steps[n][where] for n in self.best.arrays if n in steps}
        items["returns"] = returns[:, selected]
        self.best.write(slots, {n: x.transpose(0, 1) for n, x in items.items()}, length[selected])
        self.best.set_priority(slots, _mean(gain[:, selected], valid[:, selected]))

    def improve(self, averages: Averages) -> None:
        """Imitate some of the best episodes and add the metrics to ``averages``.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; that step changed nothing.
        """
        device = self.best.length.device
        stored = sum_over_ranks(torch.tensor(float(len(self.best)), device=device))
        averages.set("self_imitation/episodes", stored)
        if not stored:
            for name in REPORTED:
                averages.set(f"self_imitation/{name}", torch.tensor(math.nan))
            return
        for _ in range(self.config.updates):
            self._imitate(self._draw(), averages)

    def _draw(self) -> Tensor:
        """Slots of episodes [batch]; a rank that has none takes empty slots beside the others."""
        if not len(self.best):
            return torch.zeros(self.config.batch, dtype=torch.int64, device=self.best.length.device)
        return self.best.sample(self.config.batch, self.config.exponent, self.generator)

    def _imitate(self, slots: Tensor, averages: Averages) -> None:
        """One optimiser step on these episodes, each from its start."""
        steps, length = self.best.take(slots), self.best.length[slots]
        returns, policy = steps["returns"], self.learner.policy
        valid = torch.arange(len(returns), device=slots.device).unsqueeze(1) < length
        start = torch.zeros_like(valid)
        start[0] = True
        out = policy(observed(steps), policy.initial_state(len(slots)), start)
        log_prob = out.actions.log_prob(steps["action"])
        loss = self_imitation_loss(log_prob, out.value, self._standardise(returns), valid)
        losses = {"self-imitation policy": loss.policy, "self-imitation value": loss.value}
        config = self.config
        self.learner.step(config.weight * (loss.policy + config.value_weight * loss.value), losses)
        if len(self.best):
            self.best.set_priority(slots, _mean(loss.gain, valid))
        first = masked_mean(returns[:1], valid[:1])
        report = loss.policy, loss.value, loss.positive, first
        averages.add({f"self_imitation/{n}": x for n, x in zip(REPORTED, report, strict=True)})

    def _standardise(self, returns: Tensor) -> Tensor:
        """Returns on the scale of the critic's predictions."""
        if self.return_norm is None:
            return returns
        return self.return_norm(returns.unsqueeze(-1)).squeeze(-1)  # type: ignore[no-any-return]

    def _unstandardise(self, value: Tensor) -> Tensor:
        """The critic's predictions as returns in units of reward."""
        if self.return_norm is None:
            return value
        return self.return_norm.inverse(value.unsqueeze(-1)).squeeze(-1)

    def state_dict(self) -> dict[str, Any]:
        """The best episodes, the recent steps and the generator."""
        return {
            "best": self.best.state_dict(),
            "past": dict(self.recent),
            "generator": self.generator.get_state(),
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Check a state for ``load_state_dict``; nothing is changed.

        Raises:
            ValueError: the saved episodes have another capacity, length or observation.
        """
        self.best.check(state["best"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises as ``check``."""
        self.best.load_state_dict(state["best"])
        self.recent = {name: state["past"][name].to(own) for name, own in self.recent.items()}
        self.generator.set_state(state["generator"].cpu())


def _steps(r: Rollout, name: str) -> Tensor:
    """The array [T, B, ...] of a rollout that holds the named entry of its steps."""
    arrays = {"action": r.action, "reward": r.reward, "value": r.value}
    return r.obs[name.removeprefix(OBS)] if name.startswith(OBS) else arrays[name]


def _returns(reward: Tensor, valid: Tensor, bootstrap: Tensor, gamma: float) -> Tensor:
    """Discounted returns [L, n]; ``bootstrap`` [n] is the value after the last ``valid`` step."""
    returns, running = torch.zeros_like(reward), bootstrap
    for t in range(len(reward) - 1, -1, -1):
        running = torch.where(valid[t], reward[t] + gamma * running, running)
        returns[t] = torch.where(valid[t], running, 0.0)
    return returns


def _mean(x: Tensor, valid: Tensor) -> Tensor:
    """The mean [n] of x [T, n] over ``valid`` steps."""
    return torch.where(valid, x, 0.0).sum(0) / valid.sum(0)
