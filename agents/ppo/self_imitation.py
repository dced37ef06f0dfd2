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
from memrl.losses.self_imitation import self_imitation_loss
from memrl.nn.normalise import RunningNorm
from memrl.replay.episodes import BestEpisodes
from memrl.replay.steps import OBS, named, observed
from memrl.rollout.env import Obs
from memrl.rollout.storage import Rollout

REPORTED = ("policy", "value", "positive", "return")


@final
class SelfImitation:
    """Keeps the best episodes whole and imitates them, a few optimiser steps an iteration.

    Their returns R are of the environment's rewards, without any bonus; an episode that was cut off
    goes on with the critic's value of its last observation. V is the critic's of today, and so are
    the memory's states: every episode is read anew from its start. The last ``longest`` steps of
    every row are kept, so that an episode may lie across rollouts; a longer one is not kept.

    Args:
        learner: whose policy, optimiser and clipping are used.
        rollout: what will be remembered.
        obs: an example of its observations, each [B, ...].
        config: of self-imitation.
        gamma: discount per env step.
        units: standardises what the critic predicts, if anything does.
        generator: draws episodes.
    """

    def __init__(
        self,
        learner: Learner,
        rollout: Rollout,
        obs: Obs,
        config: SelfImitationConfig,
        *,
        gamma: float,
        units: RunningNorm | None,
        generator: torch.Generator,
    ) -> None:
        self.learner, self.config, self.gamma = learner, config, gamma
        self.units, self.generator = units, generator
        example = named(obs)
        example["action"] = rollout.action[0]
        kept = example | {"returns": rollout.reward[0]}
        self.best = BestEpisodes(config.capacity, config.longest, kept)
        example |= {"reward": rollout.reward[0], "value": rollout.value[0]}
        self.past = {  # each [longest, B, ...], the last steps of every row
            name: row.new_zeros(config.longest, *row.shape) for name, row in example.items()
        }

    def remember(self, r: Rollout) -> None:
        """Take over the best of the episodes that ended in a rollout."""
        L = self.config.longest
        steps = {name: torch.cat([past, _steps(r, name)]) for name, past in self.past.items()}
        self.past = {name: x[-L:].clone() for name, x in steps.items()}
        over = (r.terminated | r.truncated) & r.valid & (r.episode_length <= L)
        t, b = over.nonzero(as_tuple=True)
        if not len(t):
            return
        length = r.episode_length[t, b].long()
        place = torch.arange(L, device=t.device).unsqueeze(1)  # [L, 1]
        at = (L + t - length + 1 + place).clamp(max=L + len(r.reward) - 1), b.expand(L, -1)
        cut = r.truncated[t, b] & ~r.terminated[t, b]
        goes_on = torch.where(cut, self._raw(r.bootstrap[t, b]), 0.0)
        returns = _returns(steps["reward"][at], place < length, goes_on, self.gamma)  # [L, n]
        gain = (self._in_units(returns) - steps["value"][at]).clamp(min=0.0)
        comes, slots = self.best.admit(returns[0])
        chosen = at[0][:, comes], at[1][:, comes]
        items = {n: steps[n][chosen] for n in self.best.arrays if n in steps}
        items["returns"] = returns[:, comes]
        self.best.write(slots, {n: x.transpose(0, 1) for n, x in items.items()}, length[comes])
        self.best.set_priority(slots, _mean(gain[:, comes], place < length[comes]))

    def improve(self, averages: Averages) -> None:
        """Imitate some of the best episodes; what came of it is added to ``averages``.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; nothing was changed by it.
        """
        held = len(self.best)
        averages.set("self_imitation/episodes", torch.tensor(float(held)))
        if not held:
            for name in REPORTED:
                averages.set(f"self_imitation/{name}", torch.tensor(math.nan))
            return
        for _ in range(self.config.updates):
            drawn = self.best.sample(self.config.batch, self.config.exponent, self.generator)
            self._imitate(drawn, averages)

    def _imitate(self, slots: Tensor, averages: Averages) -> None:
        """One optimiser step on these episodes, each read from its start."""
        steps, length = self.best.take(slots), self.best.length[slots]
        returns, policy = steps["returns"], self.learner.policy
        valid = torch.arange(len(returns), device=slots.device).unsqueeze(1) < length
        start = torch.zeros_like(valid)
        start[0] = True
        out = policy(observed(steps), policy.initial_state(len(slots)), start)
        log_prob = out.actions.log_prob(steps["action"])
        loss = self_imitation_loss(log_prob, out.value, self._in_units(returns), valid)
        named = {"self-imitation policy": loss.policy, "self-imitation value": loss.value}
        config = self.config
        self.learner.step(config.weight * (loss.policy + config.value_weight * loss.value), named)
        self.best.set_priority(slots, _mean(loss.gain, valid))
        report = loss.policy, loss.value, loss.positive, returns[0].mean()
        named = {f"self_imitation/{n}": x for n, x in zip(REPORTED, report, strict=True)}
        averages.add(named)

    def _in_units(self, returns: Tensor) -> Tensor:
        """Returns as the critic predicts them."""
        if self.units is None:
            return returns
        return self.units(returns.unsqueeze(-1)).squeeze(-1)  # type: ignore[no-any-return]

    def _raw(self, value: Tensor) -> Tensor:
        """What the critic predicts, as returns."""
        if self.units is None:
            return value
        return self.units.inverse(value.unsqueeze(-1)).squeeze(-1)

    def state_dict(self) -> dict[str, Any]:
        """The episodes, the steps of those under way, and the draws to come."""
        return {
            "best": self.best.state_dict(),
            "past": dict(self.past),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: episodes of another number, length or observation were saved.
        """
        self.best.load_state_dict(state["best"])
        self.past = {name: state["past"][name].to(own) for name, own in self.past.items()}
        self.generator.set_state(state["generator"].cpu())


def _steps(r: Rollout, name: str) -> Tensor:
    """An array of a rollout's steps [T, B, ...] by its name among those of a step."""
    arrays = {"action": r.action, "reward": r.reward, "value": r.value}
    return r.obs[name.removeprefix(OBS)] if name.startswith(OBS) else arrays[name]


def _returns(reward: Tensor, there: Tensor, goes_on: Tensor, gamma: float) -> Tensor:
    """Discounted returns [L, n] of episodes whose steps are ``there`` and at last ``goes_on``."""
    returns, running = torch.zeros_like(reward), goes_on
    for t in range(len(reward) - 1, -1, -1):
        running = torch.where(there[t], reward[t] + gamma * running, running)
        returns[t] = torch.where(there[t], running, 0.0)
    return returns


def _mean(x: Tensor, there: Tensor) -> Tensor:
    """The mean [n] of x [T, n] over the steps that are ``there``."""
    return torch.where(there, x, 0.0).sum(0) / there.sum(0)
