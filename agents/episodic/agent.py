"""Agents that act by what they remember of returns: play, wait for returns, remember, learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.agents.acting import Observer
from memrl.agents.base import BaseAgent
from memrl.agents.config import AgentConfig, Count, Positive, Share
from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.agents.episodic.return_buffer import Block, Kept, Known, ReturnBuffer
from memrl.agents.epsilon_greedy import Worth, best, exploit, explore, open_actions
from memrl.agents.state_checks import check_copies, check_keys
from memrl.agents.training_metrics import Averages
from memrl.memory.stores.dnd import Find
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.run.agent import Metrics


class EpisodicConfig(AgentConfig):
    """What can be set of every agent that acts by remembered returns."""

    any_memory: ClassVar[bool] = False

    steps: Count = 256  # env steps per environment and iteration: one row of metrics
    every: Count = 16  # env steps, of all environments together, between two times of learning
    gamma: Share = 0.99
    neighbours: Count = 11  # p, entries that a value is read from
    capacity: Count = 500_000  # entries per action
    tolerance: Annotated[float, Ge(0.0)] = 0.02  # distance within which two keys are one
    index: Find = "exact"
    epsilon: Share = 0.001  # share of random actions in the end, and in an evaluation
    epsilon_steps: Positive = 5_000.0  # env steps in which it falls to that, from 1


@runtime_checkable  # so that annotations can be checked while tests run
class Method(Protocol):
    """What an episodic agent remembers, how it reads that, and what it learns."""

    @property
    def config(self) -> EpisodicConfig:
        """The agent's options."""

    @property
    def horizon(self) -> int | None:
        """N of N-step returns; None: until the episode's end."""

    @property
    def policy(self) -> nn.Module:
        """The network that makes keys."""

    def keep(self, obs: Obs) -> Kept:
        """What of observations [B, ...] is needed once their returns are known."""

    def worth(self, obs: Obs, *, mark: bool = True) -> Worth:
        """Values of all actions; ``mark``: what is read counts as used."""

    def remember(self, steps: Known, env_steps: int) -> dict[str, Tensor]:
        """Take in steps with their returns; in ``kept`` is also what was done: ``action``."""

    def improve(self, env_steps: int) -> dict[str, Tensor]:
        """Learn from what is remembered, once every ``every`` env steps."""

    def holdings(self) -> dict[str, Tensor]:
        """What is held, for metrics."""

    def random_until(self) -> int:
        """Env steps before which all actions are random."""

    def state_dict(self) -> dict[str, Any]:
        """All of it, for a bit-exact continuation."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; nothing is changed where that cannot be (ValueError)."""


class EpisodicControl(BaseAgent):
    """An agent that plays ε-greedily by what its ``method`` remembers of returns.

    Every random draw comes from generators made of ``seed``. A cycle is the steps between two times
    of learning; what is remembered changes between cycles only, so that nothing in the loop over
    env steps waits for it.
    """

    def __init__(self, env: BatchedEnv, method: Method, *, seed: int) -> None:
        self.env, self.method, self.config, self.env_steps = env, method, method.config, 0
        cycle = max(1, self.config.every // env.num_envs)
        whole, rest = divmod(self.config.steps, cycle)
        self._cycles = [cycle] * whole + [rest] * (rest > 0)  # steps of each, in an iteration
        env_seed, act_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
        self.generator = torch.Generator(env.device).manual_seed(act_seed)
        self.obs = env.reset(env_seed)
        self.pending = ReturnBuffer(method.horizon, self.config.gamma)
        self.episodes = EpisodeStatistics(env)
        self._owed = 0  # env steps since the last time of learning
        self.observer = Observer(env.observation_space, env.device)
        self.begin()

    @property
    def policy(self) -> nn.Module:
        """See ``memrl.run.agent.Agent.policy``."""
        return self.method.policy

    def learn(self, total_steps: int, on_iteration: Callable[[Metrics], None]) -> None:
        """See ``memrl.run.agent.Agent.learn``."""
        while self.env_steps < total_steps:
            averages = Averages()
            for steps in self._cycles:
                self._play_and_learn(steps, averages)
            averages.set("train/epsilon", torch.tensor(self.epsilon()))
            metrics = self.episodes.read() | averages.means() | self.method.holdings()
            on_iteration({name: float(value) for name, value in metrics.items()})

    def epsilon(self) -> float:
        """Share of random actions now: 1 at first, then a line down to the config's ``epsilon``."""
        begin, end = self.method.random_until(), self.config.epsilon
        progress = (self.env_steps - begin) / self.config.epsilon_steps
        return 1.0 - (1.0 - end) * min(1.0, max(0.0, progress))

    def _play_and_learn(self, steps: int, averages: Averages) -> None:
        """One cycle."""
        block = self._play(steps, self.epsilon())
        made = int(block.valid.sum())
        self.env_steps += made
        self._owed += made
        known = self.pending.extend(block)
        if len(known.returns):
            averages.add(self.method.remember(known, self.env_steps))
        try:
            for _ in range(self._owed // self.config.every):
                averages.add(self.method.improve(self.env_steps))
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} after {self.env_steps} env steps") from None
        self._owed %= self.config.every

    @torch.no_grad()
    def _play(self, steps: int, epsilon: float) -> Block:
        """Act for the steps of a cycle in every environment."""
        kept, values, valid = [], [], []
        transitions: list[Transition] = []
        for _ in range(steps):
            worth = self.method.worth(self.obs)
            mask = open_actions(self.obs, worth.q)
            action = explore(worth, mask, epsilon, self.generator)
            kept.append({**self.method.keep(self.obs), "action": action})
            values.append(best(worth, mask))
            step = self.env.step(action)
            transitions.append(step)
            valid.append(torch.ones_like(step.terminated) if step.valid is None else step.valid)
            self.episodes.add(step, valid[-1])
            self.obs = step.obs
        return Block(
            kept={name: torch.stack([row[name] for row in kept]) for name in kept[0]},
            value=torch.stack(values),
            reward=self._with_what_was_cut_off(transitions, torch.stack(valid)),
            ended=torch.stack([step.ended for step in transitions]),
            valid=torch.stack(valid),
        )

    def _with_what_was_cut_off(self, steps: list[Transition], valid: Tensor) -> Tensor:
        """Rewards [T, B]; where an episode was cut off, γ V(final observation) is added."""
        reward = torch.stack([step.reward for step in steps])
        cut = torch.stack([step.truncated & ~step.terminated for step in steps]) & valid
        at = cut.nonzero(as_tuple=True)
        if len(at[0]) == 0:
            return reward
        names = steps[0].final_obs
        last = {name: torch.stack([step.final_obs[name] for step in steps])[at] for name in names}
        worth = self.method.worth(last)
        reward[at] += self.config.gamma * best(worth, open_actions(last, worth.q))
        return reward

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """See ``memrl.run.agent.Agent.begin``; not ``greedy``: with the config's ``epsilon``."""
        if ablate not in (None, "state"):  # there is no state to forget
            name = type(self.method).__name__
            raise ValueError(f"{name} cannot ablate {ablate!r}; allowed: state")
        self._acting = None if greedy else torch.Generator(self.env.device).manual_seed(seed)
        self._worth: Worth | None = None
        self.observer.begin()

    @torch.no_grad()
    def act(self, given: Any, start: Any = None) -> Any:
        """See ``memrl.run.agent.Agent.act``; every observation stands for itself."""
        obs, _, form = self.observer.read(given, start)
        self._worth = self.method.worth(obs, mark=False)
        mask = open_actions(obs, self._worth.q)
        if self._acting is None:
            return form.give(exploit(self._worth, mask))
        return form.give(explore(self._worth, mask, self.config.epsilon, self._acting))

    def memory(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.Agent.memory``: what each action was worth."""
        return {} if self._worth is None else {"action_values": self._worth.q}

    def memory_state(self) -> None:
        """See ``memrl.run.agent.Agent.memory_state``: nothing is carried from step to step."""

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Agent.state_dict``."""
        return {
            "env_steps": self.env_steps,
            "owed": self._owed,
            "env": self.env.state_dict(),
            "generator": self.generator.get_state(),
            "pending": self.pending.state_dict(),
            "tally": self.episodes.state_dict(),
            self.config.kind: self.method.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Agent.load_state_dict``.

        Where the environments begin anew, the steps that wait for their returns are forgotten.
        """
        own = self.config.kind
        check_keys(state, self.state_dict(), own)
        check_copies(state["tally"]["running"].shape[1], self.env.num_envs)
        self.method.load_state_dict(state[own])
        self.env_steps, self._owed = state["env_steps"], state["owed"]
        self.obs = self.env.load_state_dict(state["env"])
        self.generator.set_state(state["generator"].cpu())
        self.pending.load_state_dict(state["pending"], self.env.device)
        self.episodes.load_state_dict(state["tally"])
        if not self.env.exact_resume:
            self.pending.forget()
            self.episodes.forget()
