"""Acting with a memory of its own, apart from what training keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.agents.base import BaseAgent
from memrl.policies.actor_critic import Policy, PolicyStep
from memrl.policies.q_network import QNetwork
from memrl.rollout.arrays import Form, read_observation
from memrl.rollout.env import BatchedEnv, Obs, Transition

# What the network made of observations, these, whether the best is wanted, and what draws.
Choose: TypeAlias = Callable[[Any, Obs, bool, torch.Generator], Tensor]

FORGET = "state"  # the ablation that every memory has


class Seen(NamedTuple):
    """What one call of ``act`` is given."""

    obs: Obs  # each [B, ...]
    start: Tensor  # bool [B]
    form: Form


class Observer:
    """Reads what ``act`` is given, and insists on knowing where episodes begin.

    Args:
        space: of the observations of one environment.
        device: of the agent.
    """

    def __init__(self, space: spaces.Dict, device: torch.device) -> None:
        self.space, self.device = space, device
        self.begin()

    def begin(self) -> None:
        """The next observations open episodes."""
        self._rows: int | None = None

    def read(self, given: Any, start: Any = None) -> Seen:
        """Observations, and the rows that open an episode.

        Raises:
            ValueError: later observations without ``start``, another batch size than before, or
                an observation that the space does not hold.
        """
        if isinstance(given, Transition):
            if start is not None:
                raise ValueError("act(step, start=…): a step says itself which episodes began")
            given, start = given.obs, given.start
        obs, form = read_observation(self.space, given, self.device)
        rows = len(next(iter(obs.values())))
        if self._rows not in (None, rows):
            raise ValueError(
                f"the memory follows {self._rows} environments and {rows} observations were given: "
                "begin() starts anew"
            )
        if start is None and self._rows is not None:
            raise ValueError(
                "act(obs) does not say which episodes began with these observations: give the step "
                "that env.step returned, act(step), or act(obs, start=terminated | truncated)"
            )
        opens = self._rows is None
        self._rows = rows
        return Seen(obs, self._flags(True if opens else start, rows), form)

    def _flags(self, start: Any, rows: int) -> Tensor:
        flags = start if isinstance(start, Tensor) else torch.from_numpy(np.asarray(start))
        flags = flags.to(self.device).reshape(-1)
        if len(flags) not in (1, rows) or flags.dtype != torch.bool:
            dtype = str(flags.dtype).removeprefix("torch.")
            raise ValueError(
                f"start is {dtype} [{len(flags)}], allowed: bool [{rows}], one flag for each "
                "environment"
            )
        return flags.expand(rows)


def by_probability(step: PolicyStep, obs: Obs, greedy: bool, generator: torch.Generator) -> Tensor:
    """The likeliest actions, or sampled ones."""
    return step.actions.mode() if greedy else step.actions.sample(generator)


class Actor:
    """A network with the state of an acting session, behind ``begin``, ``act`` and ``memory``."""

    def __init__(
        self, policy: Policy | QNetwork, env: BatchedEnv, choose: Choose = by_probability
    ) -> None:
        self.policy, self.choose = policy, choose
        self.observer = Observer(env.observation_space, env.device)
        self.begin()

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """Forget the state and seed the draws; see ``memrl.run.agent.Agent.begin``."""
        self.policy.core.silence(None if ablate == FORGET else ablate)
        self._generator = torch.Generator(self.observer.device).manual_seed(seed)
        self._greedy, self._forget = greedy, ablate == FORGET
        self._state: Any = None
        self.observer.begin()

    @torch.no_grad()
    def act(self, given: Any, start: Any = None) -> Any:
        """Actions in the form of the observations; see ``memrl.run.agent.Agent.act``."""
        obs, start, form = self.observer.read(given, start)
        if self._state is None:
            self._state = self.policy.initial_state(len(start))
        if self._forget:
            start = torch.ones_like(start)
        out = self.policy.step(obs, self._state, start)
        self._state = out.state
        return form.give(self.choose(out, obs, self._greedy, self._generator))

    def memory(self) -> dict[str, Tensor]:
        """Diagnostics after the last ``act``: each [B, ...]; empty before the first."""
        return {} if self._state is None else self.policy.core.diagnostics(self._state)

    def memory_state(self) -> Any:
        """The core's state after the last ``act``, leaves [B, ...]; None before the first."""
        return self._state


class ActsWithMemory(BaseAgent):
    """An agent whose acting is its ``actor``'s; learning and building are left to write."""

    actor: Actor

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """See ``memrl.run.agent.Agent.begin``."""
        self.actor.begin(seed, greedy=greedy, ablate=ablate)

    def act(self, given: Any, start: Any = None) -> Any:
        """See ``memrl.run.agent.Agent.act``."""
        return self.actor.act(given, start)

    def memory(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.Agent.memory``."""
        return self.actor.memory()

    def memory_state(self) -> Any:
        """See ``memrl.run.agent.Agent.memory_state``."""
        return self.actor.memory_state()
