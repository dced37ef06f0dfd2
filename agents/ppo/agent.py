"""PPO with a memory: collect a rollout, compute its advantages, update the policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, final

import numpy as np
import torch

from memrl.agents.acting import Actor, ActsWithMemory
from memrl.agents.auxiliary import make_auxiliary
from memrl.agents.base import Parts
from memrl.agents.config import AgentConfig
from memrl.agents.optional_parts import Part, load_states, states_of
from memrl.agents.ppo.advantages import compute_advantages
from memrl.agents.ppo.bonus import as_trained, make_bonus
from memrl.agents.ppo.config import PPOConfig
from memrl.agents.ppo.diagnosis import diagnose
from memrl.agents.ppo.learner import Learner
from memrl.agents.ppo.rates import Rates
from memrl.agents.ppo.rehearsal import Rehearsal
from memrl.agents.ppo.self_imitation import SelfImitation
from memrl.agents.ppo.teachers import Teacher, Teachers
from memrl.agents.state_checks import check_keys, check_num_envs, check_parts, check_weights
from memrl.agents.training_metrics import Averages, episode_metrics, memory_metrics
from memrl.bonus.bonus import Bonus, Experience
from memrl.checkpoint.optimizer import load_moments, moments
from memrl.distributed.collectives import broadcast_, max_over_ranks, sum_over_ranks
from memrl.losses.ppo import masked_mean, mean_count
from memrl.memory.parts.growth import growth_of
from memrl.memory.parts.slots import Slotted, limit_of
from memrl.nn.normalise import RunningNorm
from memrl.policies.actor_critic import Policy, build_policy
from memrl.rollout.capture import CapturedCollect
from memrl.rollout.collect import Collector
from memrl.rollout.env import BatchedEnv
from memrl.rollout.storage import Rollout
from memrl.run.agent import Metrics


@final
class PPO(ActsWithMemory):
    """PPO (Schulman et al. 2017) with truncated backpropagation through a memory.

    Environments, actions and minibatches draw from generators seeded by ``seed``.

    Attributes:
        collect: fills ``rollout`` with the next steps.

    Raises:
        ValueError: there are more minibatches than chunks, or the bonus or the auxiliary loss uses
            an observation that the environments lack.
    """

    Config: ClassVar[type[AgentConfig]] = PPOConfig
    grows: ClassVar[bool] = True

    def __init__(self, env: BatchedEnv, policy: Policy, config: PPOConfig, *, seed: int) -> None:
        self.policy, self.config, self.env_steps, self.iteration = policy, config, 0, 0
        device = env.device
        seeds = np.random.SeedSequence(seed).generate_state(6).tolist()
        env_seed, act_seed, batch_seed, bonus_seed, draw_seed, self._rehearsal_seed = seeds
        bonus = make_bonus(env, config.bonus, bonus_seed)
        generator = torch.Generator(device).manual_seed(act_seed)
        self.collector = Collector(env, policy, generator, seed=env_seed, bonus=bonus)
        self.rollout = self.collector.rollout(
            steps=config.steps, bptt=config.bptt, burn_in=config.burn_in
        )
        self.collect: Callable[[], None] = partial(self.collector.collect, self.rollout)
        chunks = self.rollout.num_chunks()
        if config.minibatches > chunks:
            raise ValueError(
                f"agent.minibatches={config.minibatches}, allowed: at most {chunks}, the number of "
                "chunks in a rollout"
            )
        self.learner = Learner(
            policy,
            config,
            torch.Generator().manual_seed(batch_seed),
            auxiliary=make_auxiliary(policy, env.observation_space, config.auxiliary),
            times=self.collector.times,
        )
        self.growth = growth_of(policy.core, self.learner.optimizer)
        self.return_norm = (
            RunningNorm(1, clip=None).to(device) if config.normalise_returns else None
        )
        self.imitation: SelfImitation | None = None
        if config.self_imitation.kind == "episodes":
            self.imitation = SelfImitation(
                self.learner,
                self.rollout,
                self.collector.obs,
                config.self_imitation,
                gamma=config.gamma,
                return_norm=self.return_norm,
                generator=torch.Generator().manual_seed(draw_seed),
            )
        self.actor = Actor(policy, env)

    @classmethod
    def build(cls, parts: Parts, config: PPOConfig) -> PPO:
        """See ``memrl.agents.base.BaseAgent.build``."""
        env = parts.env
        spaces = env.observation_space, env.action_space
        policy = build_policy(*spaces, parts.memory, parts.policy).to(env.device)
        grow = limit_of(parts.memory)
        if grow is not None and not isinstance(policy.core, Slotted):
            raise ValueError(
                f"memory.grow={grow} with policy.layers={parts.policy.layers} and policy.critic="
                f"{parts.policy.critic}: one memory can grow (allowed: 1, and shared or detached)"
            )
        return cls(env, policy, config, seed=parts.seed)

    def capture(self) -> None:
        """Collect and learn by replaying CUDA graphs from now on; results stay the same.

        A bonus that learns, and self-imitation, learn as before.

        Raises:
            ValueError: see ``CapturedCollect``; or the memory may grow, or it rehearses.
        """
        if self.learner.rehearsal is not None:
            raise ValueError(
                "capture=true records graphs of one rollout, and agent.rehearsal.runs draws from "
                "others (allowed: [])"
            )
        if self.growth is not None:
            raise ValueError(
                f"capture=true records graphs for one number of slots, and memory.grow="
                f"{self.growth.core.grow} changes it (allowed: null)"
            )
        self.collect = CapturedCollect(self.collector, self.rollout)
        self.learner.capture(self.rollout)

    def bonus_for(self, env: BatchedEnv) -> Bonus | None:
        """The bonus of training as it is now, for episodes in other environments; None without one.

        What it has learned is copied; what it stores of single environments begins anew.
        """
        bonus = self.collector.bonus
        return None if bonus is None else as_trained(bonus, env, self.config.bonus)

    def learn_from(self, teachers: Sequence[Teacher]) -> None:
        """Learn from these teachers, too, from the next iteration on."""
        self.learner.teachers = Teachers(teachers, self.rollout, self.return_norm)

    def rehearse(self, rollouts: Sequence[Rollout]) -> None:
        """Learn from these sequences of earlier tasks, too: see ``Rehearsal``."""
        generator = torch.Generator().manual_seed(self._rehearsal_seed)
        self.learner.rehearsal = Rehearsal(
            self.policy, rollouts, self.config, generator, self.return_norm
        )

    def learn(self, total_steps: int, on_iteration: Callable[[Metrics], None]) -> None:
        """See ``memrl.run.agent.Agent.learn``; ``total_steps`` also ends the schedules."""
        broadcast_(self.policy, self.learner.auxiliary)
        times = self.collector.times
        times.read()  # what was before is no part of an iteration
        while self.env_steps < total_steps:
            progress = self.env_steps / total_steps
            self.policy.core.silence(None)
            with times.of("acting"):
                self.collect()
            with times.of("waiting"):
                steps = int(sum_over_ranks(self.rollout.valid.sum()))
            with times.of("learning"):
                self._normalise_bonus()
                bonus_scale, averages = self.improve(progress)
                self.env_steps += steps
                self.iteration += 1
                self._update_normalisation()
                self._train_bonus(averages)
            metrics = self._metrics(averages, bonus_scale)
            on_iteration({**metrics, **self._grow()})

    def improve(self, progress: float) -> tuple[float, Averages]:
        """Learn from the collected rollout; ``progress`` in 0 … 1 sets the schedules."""
        bonus_scale, config = self._compute_advantages(), self.config
        if self.learner.teachers is not None:
            self.learner.teachers.follow(self.rollout)
        if self.learner.rehearsal is not None:
            self.learner.rehearsal.refresh(self.learner.refresh_states)
        rates = Rates(**config.schedules(progress), clip=config.clip, value_clip=config.value_clip)
        try:
            averages = self.learner.improve(self.rollout, rates)
            if self.imitation is not None:
                self.imitation.store(self.rollout)
                self.imitation.improve(averages)
            return bonus_scale, averages
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} after {self.env_steps} env steps") from None

    def _compute_advantages(self) -> float:
        """Write advantages and value targets into the rollout; returns the present bonus scale."""
        config = self.config
        scale, anneal = config.bonus.scale, config.bonus.anneal
        if anneal is not None:
            scale *= max(0.0, 1.0 - self.env_steps / anneal)
        self._returns = compute_advantages(
            self.rollout,
            gamma=config.gamma,
            lam=config.lam,
            bonus_scale=scale,
            return_norm=self.return_norm,
        )
        return scale

    def _update_normalisation(self) -> None:
        """Update running statistics, between iterations only: acting and learning use the same."""
        self.policy.encoder.update(self.rollout.obs, self.rollout.valid)
        if self.return_norm is not None:
            self.return_norm.update(self._returns.reshape(-1, 1), self.rollout.valid.flatten())

    def _normalise_bonus(self) -> None:
        """Normalise the rollout's bonus."""
        bonus, r = self.collector.bonus, self.rollout
        if bonus is not None:
            r.bonus.copy_(bonus.normalise(r.bonus, r.valid))

    def _train_bonus(self, averages: Averages) -> None:
        """Train the bonus on the rollout and report its metrics."""
        bonus, r = self.collector.bonus, self.rollout
        if bonus is None:
            return
        try:
            learned = bonus.learn(Experience(r.obs, r.action, r.start, r.valid, self.collector.obs))
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} after {self.env_steps} env steps") from None
        for name, value in learned.items():
            averages.set(name, value)

    def _metrics(self, averages: Averages, bonus_scale: float) -> Metrics:
        r = self.rollout
        metrics, count = episode_metrics(r), mean_count(r.valid)
        metrics["rollout/reward"] = masked_mean(r.reward, r.valid, count)
        metrics["rollout/bonus"] = bonus_scale * masked_mean(r.bonus, r.valid, count)
        metrics["rollout/bonus_scale"] = torch.tensor(bonus_scale)
        metrics |= averages.means() | memory_metrics(self.policy, self.collector.state)
        metrics |= diagnose(self.policy, r, self.iteration) | self.collector.times.read()
        return {name: float(value) for name, value in metrics.items()}

    def _grow(self) -> Metrics:
        """Give the memory more slots if it is full; what the fullest environment uses of them."""
        if self.growth is None:
            return {}
        core = self.growth.core
        fullest = max_over_ranks(core.fullness(self.collector.state).amax())
        used, slots = float(fullest), core.slots
        if self.growth.update(used):
            self.collector.state = core.carry_over(self.collector.state)
            self._hold_states(core)
        return {"memory/slots": float(slots), "memory/used": used}

    def _hold_states(self, core: Slotted) -> None:
        """Make room for the collector's states, whose number of slots may have changed."""
        self.rollout.hold(self.collector.state)
        self.actor.carry_over(core)

    @property
    def common(self) -> frozenset[str]:
        """See ``memrl.agents.base.BaseAgent.common``."""
        parts = {"env_steps", "iteration", "policy", "optimizer"}
        parts |= {"return_norm", "auxiliary", "growth"}
        bonus = self.collector.bonus
        if bonus is not None:
            parts |= {f"collector.bonus.{part}" for part in bonus.common}
        return frozenset(parts)

    @property
    def _optional(self) -> dict[str, Part | None]:
        """The parts that options switch on."""
        return {
            "growth": self.growth,
            "return_norm": self.return_norm,
            "self_imitation": self.imitation,
            "auxiliary": self.learner.auxiliary,
            "teachers": self.learner.teachers,
            "rehearsal": self.learner.rehearsal,
        }

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Agent.state_dict``."""
        return {
            "env_steps": self.env_steps,
            "iteration": self.iteration,
            "policy": dict(self.policy.state_dict()),
            "optimizer": moments(self.learner.optimizer),
            "collector": self.collector.state_dict(),
            "shuffler": self.learner.shuffler.get_state(),
            **states_of(self._optional),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Agent.load_state_dict``."""
        optional = self._optional
        if state.get("growth") is not None:  # sizes of weights and states follow
            load_states({"growth": optional.pop("growth")}, state)
        self._check(state)
        self.collector.load_state_dict(state["collector"])  # first: a bonus may refuse its state
        if self.growth is not None:  # memories that begin anew have the slots of before
            self.collector.state = self.growth.core.carry_over(self.collector.state)
            self._hold_states(self.growth.core)
        self.policy.load_state_dict(state["policy"])
        load_states(optional, state)
        self.env_steps, self.iteration = state["env_steps"], state["iteration"]
        load_moments(self.learner.optimizer, state["optimizer"])
        if self.learner.captured is not None:
            self.learner.capture(self.rollout)  # the optimiser has other tensors now
        self.learner.shuffler.set_state(state["shuffler"])

    def _check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError if a state belongs to another agent or to other options."""
        # Absent from older states:
        newer = {"self_imitation", "auxiliary", "growth", "teachers", "rehearsal"}
        check_keys(state, (k for k in self.state_dict() if k not in newer), self.config.kind)
        check_weights(state["policy"], self.policy, "policy")
        check_num_envs(len(state["collector"]["start"]), self.collector.env.num_envs)
        imitated, heads = state.get("self_imitation"), state.get("auxiliary")
        parts = {
            "agent.self_imitation": (self.imitation, imitated),
            "agent.normalise_returns": (self.return_norm, state["return_norm"]),
            "agent.bonus": (self.collector.bonus, state["collector"].get("bonus")),
            "agent.auxiliary": (self.learner.auxiliary, heads),
            "memory.grow": (self.growth, state.get("growth")),
        }
        check_parts(parts)
        if self.learner.auxiliary is not None and heads is not None:
            check_weights(heads, self.learner.auxiliary, "auxiliary loss")
        if self.imitation is not None and imitated is not None:
            self.imitation.check(imitated)
