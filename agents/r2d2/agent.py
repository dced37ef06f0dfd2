"""R2D2 (Kapturowski et al. 2019): recurrent Q-learning with replay, for any memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, final

import numpy as np
import torch
from torch import Tensor

from memrl.agents.acting import Actor, ActsWithMemory
from memrl.agents.auxiliary import make_auxiliary
from memrl.agents.base import Parts
from memrl.agents.config import AgentConfig
from memrl.agents.epsilon_greedy import all_estimated, allowed_actions, epsilon_greedy_action
from memrl.agents.optional_parts import Part, load_states, states_of
from memrl.agents.r2d2.collector import ReplayCollector
from memrl.agents.r2d2.config import R2D2Config
from memrl.agents.r2d2.learner import QLearner
from memrl.agents.r2d2.rehearsal import Rehearsal
from memrl.agents.r2d2.replay_buffer import ReplayBuffer
from memrl.agents.state_checks import check_keys, check_parts, check_weights
from memrl.agents.training_metrics import Averages, memory_metrics
from memrl.checkpoint.optimizer import load_moments, moments
from memrl.distributed.collectives import broadcast_, ranks, sum_over_ranks
from memrl.policies.q_network import QNetwork, QStep, build_q_network
from memrl.replay.ring import Items
from memrl.replay.steps import observed
from memrl.rollout.env import BatchedEnv, Obs
from memrl.run.agent import Metrics

LEARNING: Final = (
    *("train/loss", "train/q", "train/td_error", "train/core_cost", "memory/state_drift"),
    *(f"grad_norm/{part}" for part in ("encoder", "memory", "heads", "all")),
)


@final
class R2D2(ActsWithMemory):
    """Collects steps into a replay buffer and learns from sequences of it; with memory=none, DQN.

    Environments, exploration and replay draw from generators seeded by ``seed``. Of several ranks
    each has a replay buffer of its own.

    Raises:
        ValueError: the replay buffer is too small or too large (see ``ReplayBuffer``), or the
            environment does not support hindsight (see ``check_goals``).
    """

    Config: ClassVar[type[AgentConfig]] = R2D2Config

    def __init__(
        self, env: BatchedEnv, network: QNetwork, config: R2D2Config, *, seed: int
    ) -> None:
        self.policy, self.config, self.env_steps = network, config, 0
        device = env.device
        seeds = np.random.SeedSequence(seed).generate_state(4).tolist()
        env_seed, act_seed, draw_seed, self._rehearsal_seed = seeds
        acting, drawing = (torch.Generator(device).manual_seed(s) for s in (act_seed, draw_seed))
        self.collector = ReplayCollector(env, network, config, acting, seed=env_seed)
        self.replay = ReplayBuffer(
            env, config, self.collector.example(), self.collector.state, drawing
        )
        auxiliary = make_auxiliary(network, env.observation_space, config.auxiliary)
        self.learner = QLearner(network, config, auxiliary, self.collector.times)
        self._learning = LEARNING if auxiliary is None else (*LEARNING, *auxiliary.metrics)
        self._steps_due = 0.0  # env steps still to learn from, by the replay ratio
        self.actor = Actor(network, env, self._choose)

    @classmethod
    def build(cls, parts: Parts, config: R2D2Config) -> R2D2:
        """See ``memrl.agents.base.BaseAgent.build``."""
        env = parts.env
        spaces = env.observation_space, env.action_space
        network = build_q_network(*spaces, parts.memory, parts.policy, dueling=config.dueling)
        return cls(env, network.to(env.device), config, seed=parts.seed)

    def rehearse(self, recordings: Sequence[Items]) -> None:
        """Learn from these recordings of earlier tasks, too: see ``Rehearsal``."""
        generator = torch.Generator(self.collector.env.device).manual_seed(self._rehearsal_seed)
        self.learner.rehearsal = Rehearsal(recordings, self.config, generator)
        self._learning = (*self._learning, "train/rehearsal_value")

    def learn(self, total_steps: int, on_iteration: Callable[[Metrics], None]) -> None:
        """See ``memrl.run.agent.Agent.learn``; ``total_steps`` also ends the schedule of β."""
        broadcast_(self.policy, self.learner.target, self.learner.auxiliary)
        times = self.collector.times
        times.read()  # what was before is no part of an iteration
        while self.env_steps < total_steps:
            beta = self.config.schedules(self.env_steps / total_steps)["replay.beta"]
            self.policy.core.silence(None)
            if self.learner.rehearsal is not None:
                with times.of("learning"):
                    self.learner.rehearsal.refresh(self.policy)
            averages = Averages()
            for _ in range(self.config.steps):
                with times.of("acting"):
                    self.collector.step(self.replay)
                with times.of("learning"):
                    self._improve(averages, beta)
            with times.of("waiting"):
                self.env_steps += int(sum_over_ranks(self.collector.episodes.steps))
            with times.of("learning"):
                self._update_normalisation()
            on_iteration(self._metrics(averages))

    def weights_replaced(self) -> None:
        """See ``memrl.agents.base.BaseAgent.weights_replaced``."""
        self.learner.target.load_state_dict(self.policy.state_dict())

    def _choose(self, out: QStep, obs: Obs, greedy: bool, generator: torch.Generator) -> Tensor:
        if greedy:
            return out.q.argmax(-1)
        mask = allowed_actions(obs, out.q)
        return epsilon_greedy_action(
            all_estimated(out.q), mask, self.config.epsilon_evaluate, generator
        )

    def _improve(self, averages: Averages, beta: float) -> None:
        """Make the updates that the replay ratio asks for after one step of every environment."""
        config, B = self.config, self.collector.env.num_envs
        stored = self.replay.sequences
        if not len(stored) or stored.time * B < config.replay.fill:
            return
        self._steps_due += config.replay_ratio * B
        while self._steps_due >= config.batch * config.unroll:
            self._steps_due -= config.batch * config.unroll
            try:
                averages.add(self.learner.improve(self.replay, beta))
            except FloatingPointError as error:
                raise FloatingPointError(f"{error} after {self.env_steps} env steps") from None

    def _update_normalisation(self) -> None:
        """Update the running statistics of vector observations with the latest steps."""
        stored = self.replay.sequences
        last = min(self.config.steps, len(stored.steps))
        latest = stored.steps.take(torch.arange(stored.time - last, stored.time) % stored.span)
        # The target network must normalise observations as the online network does.
        for network in (self.policy, self.learner.target):
            network.encoder.update(observed(latest), latest["valid"])

    def _metrics(self, averages: Averages) -> Metrics:
        stored = self.replay.sequences
        metrics = self.collector.episodes.read()
        metrics |= {name: torch.tensor(math.nan) for name in self._learning} | averages.means()
        metrics |= memory_metrics(self.policy, self.collector.state)
        metrics["train/updates"] = torch.tensor(self.learner.updates)
        metrics["replay/steps"] = torch.tensor(len(stored.steps) * stored.num_envs * ranks())
        metrics |= self.collector.times.read()
        return {name: float(value) for name, value in metrics.items()}

    @property
    def common(self) -> frozenset[str]:
        """See ``memrl.agents.base.BaseAgent.common``."""
        counters = {"env_steps", "owed", "updates"}
        return frozenset(counters | {"policy", "target", "optimizer", "auxiliary"})

    @property
    def _optional(self) -> dict[str, Part | None]:
        """The parts that options switch on."""
        return {"auxiliary": self.learner.auxiliary, "rehearsal": self.learner.rehearsal}

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Agent.state_dict``."""
        return {
            "env_steps": self.env_steps,
            "owed": self._steps_due,
            "updates": self.learner.updates,
            "policy": dict(self.policy.state_dict()),
            "target": dict(self.learner.target.state_dict()),
            "optimizer": moments(self.learner.optimizer),
            "player": self.collector.state_dict(),
            "replay": self.replay.state_dict(),
            **states_of(self._optional),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Agent.load_state_dict``; an error leaves the agent unchanged."""
        auxiliary, heads = self.learner.auxiliary, state.get("auxiliary")  # none in older states
        newer = {"auxiliary", "rehearsal"}
        check_keys(state, (k for k in self.state_dict() if k not in newer), self.config.kind)
        check_weights(state["policy"], self.policy, "network")
        check_weights(state["target"], self.learner.target, "target network")
        check_parts({"agent.auxiliary": (auxiliary, heads)})
        if auxiliary is not None and heads is not None:
            check_weights(heads, auxiliary, "auxiliary loss")
        self.replay.check(state["replay"])
        self.policy.load_state_dict(state["policy"])
        self.learner.target.load_state_dict(state["target"])
        load_moments(self.learner.optimizer, state["optimizer"])
        self.collector.load_state_dict(state["player"])
        self.replay.load_state_dict(state["replay"])
        load_states(self._optional, state)
        self.env_steps, self._steps_due = state["env_steps"], state["owed"]
        self.learner.updates = state["updates"]
