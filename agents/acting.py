"""Acting with a memory state that is separate from the one used in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.agents.base import BaseAgent
from memrl.memory.parts.slots import Slotted
from memrl.memory.state import leaves
from memrl.nn.actions import Categorical
from memrl.options import checked_seed
from memrl.policies.actor_critic import Policy, PolicyStep
from memrl.policies.q_network import QNetwork, QStep
from memrl.rollout.arrays import Form, read_observation
from memrl.rollout.env import BatchedEnv, Obs, Transition

# (network output, observations, greedy, generator) -> actions [B].
ChooseActions: TypeAlias = Callable[[Any, Obs, bool, torch.Generator], Tensor]

ABLATE_STATE = "state"  # the ablation that every memory has


class ActInput(NamedTuple):
    """The input of one call of ``act``."""

    obs: Obs  # each [B, ...]
    start: Tensor  # bool [B]
    form: Form


class ObservationReader:
    """Converts the arguments of ``act`` to tensors and checks that episode starts are given.

    Args:
        space: the observation space of one environment.
        device: the agent's device.
    """

    def __init__(self, space: spaces.Dict, device: torch.device) -> None:
        self.space, self.device = space, device
        self.begin()

    def begin(self) -> None:
        """Treat the next observations as the first of their episodes."""
        self._rows: int | None = None

    def read(self, given: Any, start: Any = None) -> ActInput:
        """Return the observations and the flags of the rows that start an episode.

        Raises:
            ValueError: ``start`` is missing after the first call, the batch size changed, or an
                observation is outside the space.
        """
        if isinstance(given, Transition):
            if start is not None:
                raise ValueError(
                    "act(step, start=…): a step contains its episode starts; leave start out"
                )
            given, start = given.obs, given.start
        obs, form = read_observation(self.space, given, self.device)
        rows = len(next(iter(obs.values())))
        if self._rows not in (None, rows):
            raise ValueError(
                f"act got {rows} observations, allowed: {self._rows}, one an environment; call "
                "begin() first to change their number"
            )
        if start is None and self._rows is not None:
            raise ValueError(
                "act(obs) lacks start, which marks new episodes: use act(step) with the step "
                "that env.step returned, or act(obs, start=terminated | truncated)"
            )
        flags = self._flags(True if self._rows is None else start, rows)
        self._rows = rows
        return ActInput(obs, flags, form)

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


def from_distribution(
    step: PolicyStep, obs: Obs, greedy: bool, generator: torch.Generator
) -> Tensor:
    """The most probable actions if ``greedy``, else sampled ones."""
    return step.actions.mode() if greedy else step.actions.sample(generator)


class Actor:
    """Acts with a network and carries the memory state from call to call."""

    def __init__(
        self, policy: Policy | QNetwork, env: BatchedEnv, choose: ChooseActions = from_distribution
    ) -> None:
        self.policy, self.choose = policy, choose
        self.observer = ObservationReader(env.observation_space, env.device)
        self.begin()

    def begin(
        self, seed: SupportsIndex = 0, *, greedy: bool = False, ablate: str | None = None
    ) -> None:
        """Reset the state and seed the sampling; see ``memrl.run.agent.Agent.begin``."""
        self.policy.core.silence(None if ablate == ABLATE_STATE else ablate)
        self._generator = torch.Generator(self.observer.device).manual_seed(checked_seed(seed))
        self._greedy, self._reset_state = greedy, ablate == ABLATE_STATE
        self._state: Any = None
        self._out: PolicyStep | QStep | None = None
        self.observer.begin()

    @torch.no_grad()
    def act(self, given: Any, start: Any = None) -> Any:
        """Actions in the form of the observations; see ``memrl.run.agent.Agent.act``."""
        obs, start, form = self.observer.read(given, start)
        if self._state is None:
            self._state = self.policy.initial_state(len(start))
        if self._reset_state:
            start = torch.ones_like(start)
        out = self.policy.step(obs, self._state, start)
        self._state, self._out = out.state, out
        return form.give(self.choose(out, obs, self._greedy, self._generator))

    def carry_over(self, core: Slotted) -> None:
        """Fit the state to another number of slots of the network's memory."""
        if self._state is not None:
            self._state = core.carry_over(self._state)

    def memory(self) -> dict[str, Tensor]:
        """Diagnostics after the last ``act``: each [B, ...]; empty before the first."""
        return {} if self._state is None else self.policy.core.diagnostics(self._state)

    def memory_state(self) -> Any:
        """The core's state after the last ``act``, leaves [B, ...]; None before the first."""
        return self._state

    def outputs(self) -> dict[str, Tensor]:
        """What the network said at the last ``act``; see ``memrl.run.agent.TellsOutputs``."""
        if self._out is None:
            return {}
        if isinstance(self._out, QStep):
            q = self._out.q
            known = q.masked_fill(q == torch.finfo(q.dtype).min, math.nan)
            return {"action_values": known, "value": q.amax(dim=-1)}
        chosen_from = self._out.actions
        probabilities = (
            {"probabilities": chosen_from.log_probs.exp()}
            if isinstance(chosen_from, Categorical)
            else {}
        )
        return {**probabilities, "value": self._out.value}

    def replace_memory(self, state: Any) -> None:
        """Act on from another state; see ``memrl.run.agent.Remembering``.

        Raises:
            ValueError: nothing was acted on yet, or the state has leaves of other shapes.
        """
        own = [tuple(leaf.shape) for leaf in leaves(self._state or ())]
        given = [tuple(leaf.shape) for leaf in leaves(state)]
        if self._state is None or own != given:
            raise ValueError(f"the leaves of the state are {given}, allowed: {own}, as after act()")
        self._state = state


class ActsWithMemory(BaseAgent):
    """The acting half of an agent, delegated to an ``Actor``; the rest is abstract."""

    actor: Actor

    def begin(
        self, seed: SupportsIndex = 0, *, greedy: bool = False, ablate: str | None = None
    ) -> None:
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

    def outputs(self) -> dict[str, Tensor]:
        """See ``memrl.run.agent.TellsOutputs``."""
        return self.actor.outputs()

    def replace_memory(self, state: Any) -> None:
        """See ``memrl.run.agent.Remembering.replace_memory``."""
        self.actor.replace_memory(state)
