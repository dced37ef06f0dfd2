"""PPO with a memory: collect, cut into chunks, learn from whole chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from memrl.agent import Metrics
from memrl.agents.acting import Actor
from memrl.agents.config import PPOConfig
from memrl.agents.novelty import make_bonus
from memrl.agents.reach import DISTANCES, gradient_reach
from memrl.agents.report import Averages, diagnose, episodes
from memrl.losses.ppo import PPOLoss, masked_mean, normalise, ppo_loss
from memrl.losses.returns import gae
from memrl.memory import state as states
from memrl.nn.normalise import RunningNorm
from memrl.policy import Policy
from memrl.rollout.collect import Collector
from memrl.rollout.env import BatchedEnv, Obs
from memrl.rollout.storage import Chunk

REACH_EVERY = 16  # iterations between two measurements of how far gradients reach


@final
class PPO:
    """The agent of Schulman et al. 2017 with truncated backpropagation through a memory.

    Every random draw comes from generators made of ``seed``: environments, actions, minibatches.

    Raises:
        ValueError: chunks that do not cover a rollout, more minibatches than chunks, or a bonus on
            an observation that the environments do not have.
    """

    def __init__(self, env: BatchedEnv, policy: Policy, config: PPOConfig, *, seed: int) -> None:
        self.policy, self.config, self.env_steps, self.iteration = policy, config, 0, 0
        device = env.device
        env_seed, act_seed, batch_seed = np.random.SeedSequence(seed).generate_state(3).tolist()
        bonus = make_bonus(env, config.bonus)
        generator = torch.Generator(device).manual_seed(act_seed)
        self.collector = Collector(env, policy, generator, seed=env_seed, bonus=bonus)
        self.rollout = self.collector.rollout(
            steps=config.steps, bptt=config.bptt, burn_in=config.burn_in
        )
        chunks = self.rollout.num_chunks()
        if config.minibatches > chunks:
            raise ValueError(f"{config.minibatches} minibatches cannot share {chunks} chunks")
        self.shuffler = torch.Generator().manual_seed(batch_seed)
        self.groups: dict[str, list[nn.Parameter]] = {
            "encoder": list(policy.encoder.parameters()),
            "memory": list(policy.core.parameters()),
            "heads": _others(policy),
        }
        self.optimizer = torch.optim.Adam(
            [{"params": group} for group in self.groups.values() if group],
            lr=config.lr,
            eps=1e-5,
            fused=True,
        )
        self.return_norm = (
            RunningNorm(1, clip=None).to(device) if config.normalise_returns else None
        )
        self.actor = Actor(policy)

    def learn(self, total_steps: int, on_iteration: Callable[[Metrics], None]) -> None:
        """See ``memrl.agent.Agent.learn``; ``total_steps`` also ends the schedules."""
        while self.env_steps < total_steps:
            progress = self.env_steps / total_steps
            self.policy.core.silence(None)
            self.collector.collect(self.rollout)
            bonus_scale, averages = self.improve(progress)
            self.env_steps += int(self.rollout.valid.sum())
            self.iteration += 1
            self._update_norms()
            on_iteration(self._metrics(averages, bonus_scale))

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """See ``memrl.agent.Agent.begin``."""
        self.actor.begin(seed, greedy=greedy, ablate=ablate)

    def act(self, obs: Obs, start: Tensor | None = None) -> Tensor:
        """See ``memrl.agent.Agent.act``."""
        return self.actor.act(obs, start)

    def memory(self) -> dict[str, Tensor]:
        """See ``memrl.agent.Agent.memory``."""
        return self.actor.memory()

    def improve(self, progress: float) -> tuple[float, Averages]:
        """Learn from the rollout as collected; ``progress`` in 0 … 1 sets the schedules."""
        bonus_scale = self._assess()
        return bonus_scale, self._improve(progress)

    def _assess(self) -> float:
        """Advantages and value targets of the rollout; returns the bonus scale in force."""
        r, config = self.rollout, self.config
        scale, anneal = config.bonus.scale, config.bonus.anneal
        if anneal is not None:
            scale *= max(0.0, 1.0 - self.env_steps / anneal)
        value, last, bootstrap = self._raw(r.value), self._raw(r.last_value), self._raw(r.bootstrap)
        cut = r.truncated & ~r.terminated
        r.advantage = gae(
            r.reward + scale * r.bonus,
            value,
            r.ended,
            torch.where(cut, bootstrap, 0.0),
            last,
            gamma=config.gamma,
            lam=config.lam,
        )
        r.target = r.advantage + value
        self._returns = r.target
        if self.return_norm is not None:
            r.target = self.return_norm(r.target.unsqueeze(-1)).squeeze(-1)
        return scale

    def _improve(self, progress: float) -> Averages:
        """Epochs of minibatches over the rollout."""
        config, averages = self.config, Averages()
        entropy_coef = _between(config.entropy, config.entropy_end, progress)
        lr = _between(config.lr, config.lr_end, progress)
        self._set_lr(lr)
        for epoch in range(config.epochs):
            if epoch and config.refresh_states:
                averages.add({"memory/state_drift": self._refresh_states()})
            for chunk in self._minibatches():
                first = not averages
                loss, total, cost = self._loss(chunk, entropy_coef)
                named = loss._asdict() | {"core_cost": cost}
                norms = self._step(total, named)
                scalars = {f"train/{name}": x for name, x in named.items() if name != "ratio_error"}
                averages.add(scalars | {f"grad_norm/{name}": x for name, x in norms.items()})
                if first:
                    averages.set("train/ratio_error", loss.ratio_error)
            if config.target_kl is not None and averages.last("train/kl") > config.target_kl:
                break
        averages.set("train/lr", torch.tensor(lr))
        return averages

    def _loss(self, chunk: Chunk, entropy_coef: float) -> tuple[PPOLoss, Tensor, Tensor]:
        config = self.config
        device = chunk.start.device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
            out = self.policy(chunk.obs, chunk.state, chunk.start)
        advantage = chunk.advantage
        if config.normalise_advantages:
            advantage = normalise(advantage, chunk.valid)
        loss = ppo_loss(
            out.actions.log_prob(chunk.action),
            chunk.log_prob,
            advantage,
            out.actions.entropy(),
            out.value.to(chunk.target.dtype),
            chunk.value,
            chunk.target,
            chunk.valid,
            clip=config.clip,
            value_clip=config.value_clip,
        )
        cost = torch.zeros_like(loss.value)
        if out.cost is not None:
            cost = masked_mean(out.cost, chunk.valid)
        total = loss.policy + config.value_coef * loss.value - entropy_coef * loss.entropy
        return loss, total + config.core_cost * cost, cost

    def _step(self, total: Tensor, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One optimiser step; nothing is changed when a loss or a gradient is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        grads = {
            name: [p.grad for p in group if p.grad is not None]
            for name, group in self.groups.items()
        }
        norms = {name: get_total_norm(group) for name, group in grads.items() if group}
        norm = torch.stack(list(norms.values())).norm()
        if not math.isfinite(float(norm)) or not math.isfinite(float(total.detach())):
            raise FloatingPointError(_what_went_bad(named, norms, self.env_steps))
        everything = [p for group in self.groups.values() for p in group]
        clip_grads_with_norm_(everything, self.config.max_grad_norm, norm)
        self.optimizer.step()
        return {name: value.detach() for name, value in norms.items()} | {"all": norm.detach()}

    def _minibatches(self) -> Iterator[Chunk]:
        order = torch.randperm(self.rollout.num_chunks(), generator=self.shuffler)
        for index in order.to(self.rollout.start.device).tensor_split(self.config.minibatches):
            yield self.rollout.chunks(index)

    @torch.no_grad()
    def _refresh_states(self) -> Tensor:
        """Chunk-start states as the present core would have them; returns their relative change."""
        r = self.rollout
        state = states.map_state(lambda kept: kept[0], r.states)
        change = size = torch.zeros((), device=r.start.device)
        for c, begin in enumerate(r.chunk_starts[1:], start=1):
            span = slice(r.chunk_starts[c - 1], begin)
            obs = {key: value[span] for key, value in r.obs.items()}
            state = self.policy(obs, state, r.start[span]).state
            for kept, leaf in zip(states.leaves(r.states), states.leaves(state), strict=True):
                change = change + (kept[c] - leaf).square().sum()
                size = size + leaf.square().sum()
                kept[c] = leaf
        return (change / size.clamp(min=1e-12)).sqrt()

    def _update_norms(self) -> None:
        """Statistics move between iterations only: acting and learning see the same ones."""
        self.policy.encoder.update(self.rollout.obs, self.rollout.valid)
        if self.return_norm is not None:
            self.return_norm.update(self._returns.reshape(-1, 1), self.rollout.valid.flatten())

    def _metrics(self, averages: Averages, bonus_scale: float) -> Metrics:
        r = self.rollout
        metrics = episodes(r)
        metrics["rollout/reward"] = masked_mean(r.reward, r.valid)
        metrics["rollout/bonus"] = bonus_scale * masked_mean(r.bonus, r.valid)
        metrics["rollout/bonus_scale"] = torch.tensor(bonus_scale)
        metrics |= averages.means() | diagnose(self.policy, self.collector.state)
        reach: dict[int, Tensor] = {}
        if self.iteration % REACH_EVERY == 1:
            few = torch.arange(min(32, r.num_chunks()), device=r.start.device)
            reach = gradient_reach(self.policy, r.chunks(few))
        for k in DISTANCES:
            if k < self.config.bptt:
                metrics[f"memory/reach_{k}"] = reach.get(k, torch.tensor(math.nan))
        return {name: float(value) for name, value in metrics.items()}

    def _raw(self, value: Tensor) -> Tensor:
        """The critic's output in units of reward."""
        if self.return_norm is None:
            return value
        return self.return_norm.inverse(value.unsqueeze(-1)).squeeze(-1)

    def _set_lr(self, lr: float) -> None:
        memory = {id(p) for p in self.groups["memory"]}
        for group in self.optimizer.param_groups:
            multiple = self.config.lr_memory if id(group["params"][0]) in memory else 1.0
            group["lr"] = lr * multiple

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.agent.Agent.state_dict``."""
        return {
            "env_steps": self.env_steps,
            "iteration": self.iteration,
            "policy": dict(self.policy.state_dict()),
            "optimizer": {str(i): s for i, s in self.optimizer.state_dict()["state"].items()},
            "collector": self.collector.state_dict(),
            "shuffler": self.shuffler.get_state(),
            "return_norm": None
            if self.return_norm is None
            else dict(self.return_norm.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.agent.Agent.load_state_dict``."""
        try:
            self.policy.load_state_dict(state["policy"])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"the saved policy is not the one configured here: {reason}") from None
        self.env_steps, self.iteration = state["env_steps"], state["iteration"]
        own = self.optimizer.state_dict()
        own["state"] = {int(i): s for i, s in state["optimizer"].items()}
        self.optimizer.load_state_dict(own)
        self.collector.load_state_dict(state["collector"])
        self.shuffler.set_state(state["shuffler"])
        if self.return_norm is not None:
            self.return_norm.load_state_dict(state["return_norm"])


def _others(policy: Policy) -> list[nn.Parameter]:
    """All parameters behind the memory: heads and their hidden layers."""
    before = {id(p) for part in (policy.encoder, policy.core) for p in part.parameters()}
    return [p for p in policy.parameters() if id(p) not in before]


def _between(begin: float, end: float | None, progress: float) -> float:
    return begin if end is None else begin + (end - begin) * min(1.0, progress)


def _what_went_bad(named: Mapping[str, Tensor], norms: Mapping[str, Tensor], env_steps: int) -> str:
    bad = [f"the {name} loss" for name, x in named.items() if not math.isfinite(float(x.detach()))]
    bad += [
        f"the gradient of {name}"
        for name, x in norms.items()
        if not math.isfinite(float(x.detach()))
    ]
    what = " and ".join(bad) or "the total loss"
    return f"{what} became NaN or infinite after {env_steps} env steps"
