"""The agent that plans: collect steps, add them to the graph, plan anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, SupportsIndex, final

import numpy as np
import torch
from torch import Tensor, nn

from memrl.agents.acting import ABLATE_STATE, ObservationReader
from memrl.agents.base import BaseAgent, Parts
from memrl.agents.config import AgentConfig
from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.agents.epsilon_greedy import (
    all_estimated,
    allowed_actions,
    epsilon_greedy_action,
    greedy_action,
)
from memrl.agents.part_checks import refuse_memory, refuse_network
from memrl.agents.planning.config import PlanConfig
from memrl.agents.planning.observed import Observed
from memrl.agents.planning.values import Values
from memrl.agents.state_checks import check_keys, check_num_envs
from memrl.agents.training_metrics import Averages
from memrl.memory.stores.transitions import UNSEEN, Steps, joined
from memrl.options import checked_seed
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Metrics


class Carried(NamedTuple):
    """What ``act`` carries from call to call."""

    recent: Tensor  # int64 [B, k - 1]
    q: Tensor  # [B, A]  0 for actions that were never tried


@final
class PlanAgent(BaseAgent):
    """Plans by value iteration in a graph of all the transitions that it has seen.

    While it learns, an action that is not known is worth ``optimism``, so that it goes to what it
    does not know. When it acts otherwise it takes what it has tried before, where there is any.

    A cycle is the env steps between two plans. The graph changes between cycles only: what is new
    within a cycle is unseen until its end, and actions are drawn there.

    Raises:
        ValueError: the graph is smaller than what one cycle may add to it.
    """

    Config: ClassVar[type[AgentConfig]] = PlanConfig

    @classmethod
    def build(cls, parts: Parts, config: PlanConfig) -> PlanAgent:
        """See ``BaseAgent.build``; raises where an option of the policy or memory was set."""
        refuse_memory(parts, "plan", "a graph whose nodes are observations")
        refuse_network(parts, "plan", "its nodes are fingerprints of observations")
        return cls(parts.env, config, seed=parts.seed)

    def __init__(self, env: BatchedEnv, config: PlanConfig, *, seed: int) -> None:
        self.env, self.config, self.env_steps = env, config, 0
        self._cycles = _cycles(config, env.num_envs)
        env_seed, act_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
        self.generator = torch.Generator(env.device).manual_seed(act_seed)
        self.obs = env.reset(env_seed)
        self.observed = Observed(env, self.obs, config)
        self.values = self._values(config.optimism, visits=config.visits, beta=config.bonus)
        self.recent = self.observed.keys.initial(env.num_envs, env.device)
        self.episodes = EpisodeStatistics(env)
        self.observer = ObservationReader(env.observation_space, env.device)
        self.begin()

    @property
    def policy(self) -> nn.Module:
        """See ``memrl.run.agent.Agent.policy``: from observations to keys, without weights."""
        return self.observed.keys

    def _values(self, unknown: float | None, *, visits: int, beta: float) -> Values:
        model, goals = self.observed.model(visits=visits, beta=beta), self.observed.goals()
        config = self.config
        return Values(model, goals, gamma=config.gamma, sweeps=config.sweeps, unknown=unknown)

    def _plan(self) -> None:
        """Explore by the present graph from now on."""
        config = self.config
        model = self.observed.model(visits=config.visits, beta=config.bonus)
        self.values.learn(model, self.observed.goals())

    def learn(self, total_steps: int, on_iteration: Callable[[Metrics], None]) -> None:
        """See ``memrl.run.agent.Agent.learn``."""
        while self.env_steps < total_steps:
            averages = Averages()
            for steps in self._cycles:
                self._run_cycle(steps, averages)
            metrics = self.episodes.read() | averages.means() | self.observed.metrics()
            metrics |= self.values.metrics(self.observed.desired(self.obs))
            on_iteration({name: float(value) for name, value in metrics.items()})

    def has_learned(self) -> bool:
        """See ``BaseAgent.has_learned``: whether a step was seen."""
        return self.observed.graph.nodes > 0

    @torch.no_grad()
    def _run_cycle(self, steps: int, averages: Averages) -> None:
        """Collect the steps of one cycle, add them to the graph, and plan."""
        taken = [self._step(averages) for _ in range(steps)]
        valid = torch.cat([valid for _, valid in taken])
        self.env_steps += int(valid.sum())
        added = self.observed.graph.add(joined([steps for steps, _ in taken], valid))
        averages.add({"memory/lost": torch.tensor(float(added.lost))})
        self._plan()

    def _step(self, averages: Averages) -> tuple[Steps, Tensor]:
        """Step every environment; which rows were steps [B]."""
        place = self.observed.place(self.obs, self.recent)
        q = self.values.at(place.node, place.desired).q
        mask, epsilon = allowed_actions(self.obs, q), self.config.epsilon
        action = epsilon_greedy_action(all_estimated(q), mask, epsilon, self.generator)
        step = self.env.step(action)
        valid = torch.ones_like(step.terminated) if step.valid is None else step.valid.clone()
        steps = self.observed.steps(place, action, step)
        averages.add({"memory/unseen": (place.node == UNSEEN).float().mean()})
        self.episodes.add(step, valid)
        self.recent = torch.where(step.start.unsqueeze(1), 0, place.recent)
        self.obs = step.obs
        return steps, valid

    def begin(
        self, seed: SupportsIndex = 0, *, greedy: bool = False, ablate: str | None = None
    ) -> None:
        """See ``memrl.run.agent.Agent.begin``; unless ``greedy``, ε is the config's."""
        if ablate not in (None, ABLATE_STATE):
            raise ValueError(f"{type(self).__name__} cannot ablate {ablate!r} (allowed: state)")
        drawn = torch.Generator(self.env.device).manual_seed(checked_seed(seed))
        self._acting = None if greedy else drawn
        self._alone = ablate == ABLATE_STATE  # every observation by itself
        self._carried: Carried | None = None
        self._plans: tuple[int, Values] | None = None  # and when they were made
        self.observer.begin()

    @torch.no_grad()
    def act(self, given: Any, start: Any = None) -> Any:
        """See ``memrl.run.agent.Agent.act``; what was never tried is not taken if anything was."""
        obs, start, form = self.observer.read(given, start)
        recent = self.observed.keys.initial(len(start), self.env.device)
        if self._carried is not None and not self._alone:
            recent = torch.where(start.unsqueeze(1), recent, self._carried.recent)
        place = self.observed.place(obs, recent)
        q, known = self._tried().at(place.node, place.desired)
        q, allowed = q.masked_fill(~known, 0.0), allowed_actions(obs, q)
        tried = allowed & known
        mask = torch.where(tried.any(dim=1, keepdim=True), tried, allowed)
        self._carried = Carried(place.recent, q)
        values = all_estimated(q)
        if self._acting is None:
            return form.give(greedy_action(values, mask))
        return form.give(epsilon_greedy_action(values, mask, self.config.epsilon, self._acting))

    def _tried(self) -> Values:
        """Plans by what was tried, in the present graph."""
        now = self.observed.graph.rows.now
        if self._plans is None or self._plans[0] != now:
            self._plans = now, self._values(None, visits=1, beta=0.0)
        return self._plans[1]

    def memory(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.Agent.memory``: the values of all actions."""
        return {} if self._carried is None else {"action_values": self._carried.q}

    def memory_state(self) -> None:
        """See ``memrl.run.agent.Agent.memory_state``: there is none to show."""

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Agent.state_dict``; plans are made anew."""
        return {
            "env_steps": self.env_steps,
            "env": self.env.state_dict(),
            "generator": self.generator.get_state(),
            "recent": self.recent,
            "tally": self.episodes.state_dict(),
            self.config.kind: self.observed.graph.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Agent.load_state_dict``."""
        check_keys(state, self.state_dict(), self.config.kind)
        check_num_envs(state["tally"]["running"].shape[1], self.env.num_envs)
        if state["recent"].shape != self.recent.shape:
            raise ValueError(
                f"the state was saved with agent.history={state['recent'].shape[1] + 1}, allowed: "
                f"{self.config.history}, as configured here"
            )
        self.observed.graph.load_state_dict(state[self.config.kind])
        self.env_steps = state["env_steps"]
        self.obs = self.env.load_state_dict(state["env"])
        self.generator.set_state(state["generator"].cpu())
        self.recent = state["recent"].to(self.env.device, copy=True)
        self.episodes.load_state_dict(state["tally"])
        if not self.env.exact_resume:
            self.recent = torch.zeros_like(self.recent)
            self.episodes.forget()
        self._plans = None
        self._plan()


def _cycles(config: PlanConfig, num_envs: int) -> list[int]:
    """Steps of every environment between two plans, for one iteration."""
    cycle = max(1, config.every // num_envs)
    least = 2 * cycle * num_envs
    if config.capacity < least:
        raise ValueError(
            f"agent.capacity={config.capacity} is too small, allowed: at least {least}, for the "
            f"observations of {cycle * num_envs} env steps between two plans"
        )
    whole, rest = divmod(config.steps, cycle)
    return [cycle] * whole + [rest] * (rest > 0)
