"""Acting with a memory of one's own: right by default, apart from what training keeps."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from memrl.policies.actor_critic import Policy, PolicyStep
from memrl.policies.q_network import QNetwork
from memrl.rollout.env import Obs

# What the network made of observations, these, whether the best is wanted, and what draws.
Choose: TypeAlias = Callable[[Any, Obs, bool, torch.Generator], Tensor]

FORGET = "state"  # the ablation that every memory has


def by_probability(step: PolicyStep, obs: Obs, greedy: bool, generator: torch.Generator) -> Tensor:
    """The likeliest actions, or sampled ones."""
    return step.actions.mode() if greedy else step.actions.sample(generator)


class Actor:
    """A network with the state of an acting session, behind ``begin``, ``act`` and ``memory``."""

    def __init__(self, policy: Policy | QNetwork, choose: Choose = by_probability) -> None:
        self.policy, self.choose = policy, choose
        self.begin()

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """Forget the state and seed the draws; see ``memrl.run.agent.Agent.begin``."""
        self.policy.core.silence(None if ablate == FORGET else ablate)
        device = next(self.policy.parameters()).device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._greedy, self._forget = greedy, ablate == FORGET
        self._state: Any = None
        self._rows = -1

    @torch.no_grad()
    def act(self, obs: Obs, start: Tensor | None = None) -> Tensor:
        """Actions [B, ...]; see ``memrl.run.agent.Agent.act``."""
        first = next(iter(obs.values()))
        opens = len(first) != self._rows
        if opens:
            self._rows = len(first)
            self._state = self.policy.initial_state(self._rows)
        if start is None or self._forget:
            fill = opens or self._forget
            start = torch.full((self._rows,), fill, dtype=torch.bool, device=first.device)
        out = self.policy.step(obs, self._state, start)
        self._state = out.state
        return self.choose(out, obs, self._greedy, self._generator)

    def memory(self) -> dict[str, Tensor]:
        """What the memory holds after the last ``act``: each [B, ...]; empty before the first."""
        return {} if self._state is None else self.policy.core.diagnostics(self._state)


class ActsWithMemory(ABC):
    """An agent whose acting is an ``Actor``'s: the acting half of ``memrl.run.agent.Agent``."""

    actor: Actor

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """See ``memrl.run.agent.Agent.begin``."""
        self.actor.begin(seed, greedy=greedy, ablate=ablate)

    def act(self, obs: Obs, start: Tensor | None = None) -> Tensor:
        """See ``memrl.run.agent.Agent.act``."""
        return self.actor.act(obs, start)

    def memory(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.Agent.memory``."""
        return self.actor.memory()
