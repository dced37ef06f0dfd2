"""The agent of episodic control: collect steps, compute their returns, store them, learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Protocol, SupportsIndex, runtime_checkable

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.agents.acting import ObservationReader
from memrl.agents.base import BaseAgent
from memrl.agents.config import AgentConfig, Count, Positive, Share
from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.agents.episodic.return_buffer import Entries, ReturnBuffer, Segment, StepsWithReturns
from memrl.agents.epsilon_greedy import (
    ActionValues,
    allowed_actions,
    best_value,
    epsilon_greedy_action,
    greedy_action,
)
from memrl.agents.state_checks import check_keys, check_num_envs
from memrl.agents.training_metrics import Averages
from memrl.memory.stores.dnd import Dictionaries, Find
from memrl.options import checked_seed
from memrl.rollout.env import BatchedEnv, Obs, Transition, copied
from memrl.run.agent import Metrics


class EpisodicConfig(AgentConfig):
    """The options that NEC and MFEC share."""

    any_memory: ClassVar[bool] = False

    steps: Count = 256  # env steps per environment and iteration: one row of metrics
    every: Count = 16  # env steps, over all environments, between two updates
    gamma: Share = 0.99
    neighbours: Count = 11  # p, entries that a value is computed from
    capacity: Count = 500_000  # entries per action
    tolerance: Annotated[float, Ge(0.0)] = 0.02  # keys within this distance are the same
    index: Find = "exact"
    epsilon: Share = 0.001  # share of random actions at the end, and in evaluations
    epsilon_steps: Positive = 5_000.0  # env steps in which it falls from 1 to `epsilon`


@runtime_checkable  # so that annotations can be checked while tests run
class Method(Protocol):
    """How an episodic agent stores returns, estimates values and learns."""

    @property
    def config(self) -> EpisodicConfig:
        """The agent's options."""

    @property
    def horizon(self) -> int | None:
        """N of N-step returns; None: returns of whole episodes."""

    @property
    def policy(self) -> nn.Module:
        """The network that computes keys."""

    @property
    def dictionaries(self) -> Dictionaries:
        """The stored returns."""

    def entries(self, obs: Obs) -> Entries:
        """What ``store`` needs of observations [B, ...] once their returns are known."""

    def action_values(self, obs: Obs, *, mark: bool = True) -> ActionValues:
        """Values of all actions; ``mark``: the entries that are read count as used."""

    def store(self, steps: StepsWithReturns, env_steps: int) -> dict[str, Tensor]:
        """Store steps with their returns; ``steps.entries`` also has the ``action``."""

    def improve(self, env_steps: int) -> dict[str, Tensor]:
        """Make one update; called once every ``every`` env steps."""

    def memory_metrics(self) -> dict[str, Tensor]:
        """Metrics of the memory's content."""

    def random_steps(self) -> int:
        """The number of env steps at the beginning in which all actions are random."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; ValueError, and no change, if the state does not fit."""


class EpisodicControl(BaseAgent):
    """Acts ε-greedily by the values that its ``method`` computes from stored returns.

    Environments and exploration draw from generators seeded by ``seed``. A cycle is the env steps
    between two updates. The stored returns change between cycles only, so that the loop over env
    steps never waits for a write.
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
        self._steps_since_update = 0  # env steps
        self.observer = ObservationReader(env.observation_space, env.device)
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
                self._run_cycle(steps, averages)
            averages.set("train/epsilon", torch.tensor(self.epsilon()))
            metrics = self.episodes.read() | averages.means() | self.method.memory_metrics()
            on_iteration({name: float(value) for name, value in metrics.items()})

    def has_learned(self) -> bool:
        """See ``BaseAgent.has_learned``: whether a return was written."""
        return not self.method.dictionaries.empty

    def epsilon(self) -> float:
        """Share of random actions now: falls linearly from 1 to the config's ``epsilon``."""
        begin, end = self.method.random_steps(), self.config.epsilon
        progress = (self.env_steps - begin) / self.config.epsilon_steps
        return 1.0 - (1.0 - end) * min(1.0, max(0.0, progress))

    def _run_cycle(self, steps: int, averages: Averages) -> None:
        """Collect the steps of one cycle, store those whose returns are known, and learn."""
        segment = self._collect(steps, self.epsilon())
        collected = int(segment.valid.sum())
        self.env_steps += collected
        self._steps_since_update += collected
        finished = self.pending.extend(segment)
        if len(finished.returns):
            averages.add(self.method.store(finished, self.env_steps))
        try:
            for _ in range(self._steps_since_update // self.config.every):
                averages.add(self.method.improve(self.env_steps))
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} after {self.env_steps} env steps") from None
        self._steps_since_update %= self.config.every

    @torch.no_grad()
    def _collect(self, steps: int, epsilon: float) -> Segment:
        """Step every environment ``steps`` times."""
        entries, values, valid = [], [], []
        transitions: list[Transition] = []
        for _ in range(steps):
            estimates = self.method.action_values(self.obs)
            mask = allowed_actions(self.obs, estimates.q)
            action = epsilon_greedy_action(estimates, mask, epsilon, self.generator)
            entries.append({**copied(self.method.entries(self.obs)), "action": action})
            values.append(best_value(estimates, mask))
            step = self.env.step(action)
            transitions.append(_kept(step))
            all_valid = torch.ones_like(step.terminated)
            valid.append(all_valid if step.valid is None else step.valid.clone())
            self.episodes.add(step, valid[-1])
            self.obs = step.obs
        return Segment(
            entries={name: torch.stack([row[name] for row in entries]) for name in entries[0]},
            value=torch.stack(values),
            reward=self._bootstrapped_rewards(transitions, torch.stack(valid)),
            ended=torch.stack([step.ended for step in transitions]),
            valid=torch.stack(valid),
        )

    def _bootstrapped_rewards(self, steps: list[Transition], valid: Tensor) -> Tensor:
        """Rewards [T, B]; where an episode was truncated, γ V(final observation) is added."""
        reward = torch.stack([step.reward for step in steps])
        truncated = torch.stack([s.truncated & ~s.terminated for s in steps]) & valid
        at = truncated.nonzero(as_tuple=True)
        if len(at[0]) == 0:
            return reward
        names = steps[0].final_obs
        last = {name: torch.stack([step.final_obs[name] for step in steps])[at] for name in names}
        estimates = self.method.action_values(last)
        mask = allowed_actions(last, estimates.q)
        reward[at] += self.config.gamma * best_value(estimates, mask)
        return reward

    def begin(
        self, seed: SupportsIndex = 0, *, greedy: bool = False, ablate: str | None = None
    ) -> None:
        """See ``memrl.run.agent.Agent.begin``; unless ``greedy``, ε is the config's."""
        if ablate not in (None, "state"):  # "state" changes nothing: there is none
            name = type(self.method).__name__
            raise ValueError(f"{name} cannot ablate {ablate!r} (allowed: state)")
        drawn = torch.Generator(self.env.device).manual_seed(checked_seed(seed))
        self._acting = None if greedy else drawn
        self._seen: Obs = {}
        self._values: ActionValues | None = None
        self.observer.begin()

    @torch.no_grad()
    def act(self, given: Any, start: Any = None) -> Any:
        """See ``memrl.run.agent.Agent.act``; actions depend on the present observation only."""
        obs, _, form = self.observer.read(given, start)
        self._seen, self._values = copied(obs), self.method.action_values(obs, mark=False)
        mask = allowed_actions(obs, self._values.q)
        if self._acting is None:
            return form.give(greedy_action(self._values, mask))
        return form.give(
            epsilon_greedy_action(self._values, mask, self.config.epsilon, self._acting)
        )

    def memory(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.Agent.memory``: the values of all actions."""
        return {} if self._values is None else {"action_values": self._values.q}

    @torch.no_grad()
    def outputs(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.TellsOutputs``; beside them the neighbours of the last keys.

        ``neighbour_values`` and ``neighbour_distances`` [B, A, p]: NaN where there are fewer.
        """
        if self._values is None:
            return {}
        said = {"value": best_value(self._values, allowed_actions(self._seen, self._values.q))}
        dictionaries = self.method.dictionaries
        if dictionaries.empty:
            return said
        keys = self.method.policy(self._seen)
        queries = keys.expand(self._values.q.shape[1], -1, -1)
        near = dictionaries.near(queries, self.config.neighbours, mark=False)
        far = (near.keys - keys.unsqueeze(1)).norm(dim=-1)  # [A, B, p]
        found = {"neighbour_values": near.values, "neighbour_distances": far}
        told = {name: x.masked_fill(~near.found, torch.nan) for name, x in found.items()}
        return said | {name: x.transpose(0, 1) for name, x in told.items()}

    def memory_state(self) -> None:
        """See ``memrl.run.agent.Agent.memory_state``: there is no state."""

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Agent.state_dict``."""
        return {
            "env_steps": self.env_steps,
            "owed": self._steps_since_update,
            "env": self.env.state_dict(),
            "generator": self.generator.get_state(),
            "pending": self.pending.state_dict(),
            "tally": self.episodes.state_dict(),
            self.config.kind: self.method.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Agent.load_state_dict``.

        Environments without ``exact_resume`` are reset; steps without a return are then dropped.
        """
        own = self.config.kind
        check_keys(state, self.state_dict(), own)
        check_num_envs(state["tally"]["running"].shape[1], self.env.num_envs)
        self.method.load_state_dict(state[own])
        self.env_steps, self._steps_since_update = state["env_steps"], state["owed"]
        self.obs = self.env.load_state_dict(state["env"])
        self.generator.set_state(state["generator"].cpu())
        self.pending.load_state_dict(state["pending"], self.env.device)
        self.episodes.load_state_dict(state["tally"])
        if not self.env.exact_resume:
            self.pending.forget()
            self.episodes.forget()


def _kept(step: Transition) -> Transition:
    """Copies of what a segment needs of a step."""
    return step._replace(
        obs={},
        reward=step.reward.clone(),
        terminated=step.terminated.clone(),
        truncated=step.truncated.clone(),
        final_obs=copied(step.final_obs),
        metrics={},
    )
