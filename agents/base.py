"""The base class of the agents that ``agent=WORD`` can choose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from memrl.agents.config import AgentConfig
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Agent, Metrics


class Parts(NamedTuple):
    """The parts of an agent that its own config does not describe.

    ``memrl.policies`` makes networks of them: ``actor_critic.build_policy``,
    ``q_network.build_q_network`` or ``backbone.build_parts``. An agent that does not use a part
    refuses a value that would change it there (ValueError).
    """

    env: BatchedEnv  # to learn in; only the agent resets and steps it
    memory: Mapping[str, Any]  # the core: its ``name`` and its options
    policy: PolicyConfig  # the rest of the network
    seed: int  # of all draws: generators are made of it, the global ones are left alone


class BaseAgent(ABC):
    """The protocol ``memrl.run.agent.Agent``, and how an agent is built from a config.

    ``agent=module:Name`` calls ``Name.build(parts, config)``, where ``config`` is an instance of
    ``Name.Config``: the keys of ``agent``, with the types and ranges of its fields, and defaults.
    Beside what is declared here, an agent counts ``env_steps`` from 0 and has a ``policy``, the
    network that acts; its ``core``, where it has one, is the memory that pictures are drawn of.
    ``memrl.agents.ActsWithMemory`` writes the acting half for a network with a memory.
    """

    Config: ClassVar[type[AgentConfig]]
    grows: ClassVar[bool] = False  # whether its memory may get more slots while it learns
    unit: ClassVar[str] = "env_steps"
    env_steps: int

    @classmethod
    @abstractmethod
    def build(cls, parts: Parts, config: Any) -> Agent:
        """An agent that has learned nothing yet, on ``parts.env``'s device.

        Raises:
            ValueError: a space that it cannot read or act in, or options that do not fit.
        """

    @property
    def experience(self) -> int:
        """See ``memrl.run.agent.Learner.experience``."""
        return self.env_steps

    @property
    def common(self) -> frozenset[str]:
        """The parts of ``state_dict`` that all ranks have alike, by dotted path."""
        return frozenset()

    @abstractmethod
    def learn(self, total_steps: int, on_iteration: Callable[[Metrics], None], /) -> None:
        """See ``memrl.run.agent.Learner.learn``."""

    def has_learned(self) -> bool | None:
        """Whether anything was learned so far; None: if a weight of the policy has changed."""
        return None

    def weights_replaced(self) -> None:  # noqa: B027  most copy nothing of them
        """Adapt what was made of the policy's weights: before it learns they were replaced."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Learner.state_dict``."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Learner.load_state_dict``."""

    @abstractmethod
    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """See ``memrl.run.agent.Agent.begin``."""

    @abstractmethod
    def act(self, given: Any, start: Any = None) -> Any:
        """See ``memrl.run.agent.Agent.act``."""

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Agent.memory``."""

    @abstractmethod
    def memory_state(self) -> Any:
        """See ``memrl.run.agent.Agent.memory_state``."""
