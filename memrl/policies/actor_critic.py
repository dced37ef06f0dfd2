"""The actor-critic network: encoder, memory core, actor and critic heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

from gymnasium import spaces
from torch import Tensor

from memrl.memory.core import MemoryCore
from memrl.nn.actions import ActionHead, Actions
from memrl.nn.encoder import Encoder
from memrl.nn.init import linear
from memrl.nn.observation import ACTION_MASK
from memrl.policies.backbone import Backbone, PolicyConfig, build_parts, head_body
from memrl.rollout.env import Obs


class PolicyStep(NamedTuple):
    """A policy's outputs for one step."""

    actions: Actions  # over [B]
    value: Tensor  # [B]
    state: Any  # the core's next state


class PolicyUnrolled(NamedTuple):
    """A policy's outputs for a sequence."""

    actions: Actions  # over [T, B]
    value: Tensor  # [T, B]
    state: Any  # the core's state after the last step
    cost: Tensor | None  # [T, B]  the core's own loss


@final
class Policy(Backbone):
    """An actor and a critic that share one memory."""

    def __init__(
        self,
        encoder: Encoder,
        core: MemoryCore[Any],
        action_space: spaces.Space[Any],
        *,
        skip: bool,
        head_dim: int,
    ) -> None:
        super().__init__(encoder, core, skip=skip)
        width = self.features_dim
        self.actor_body, self.critic_body = (head_body(width, head_dim) for _ in range(2))
        self.actor = ActionHead(head_dim or width, action_space)
        self.critic = linear(head_dim or width, 1, gain=1.0)

    def step(self, obs: Obs, state: Any, start: Tensor, *, donate: bool = False) -> PolicyStep:
        """Act: observations [B, ...], ``start`` [B] is True at the first step of an episode."""
        features, state = self.sense(obs, state, start, donate=donate)
        return PolicyStep(*self._heads(obs, features), state)

    def forward(self, obs: Obs, state: Any, start: Tensor) -> PolicyUnrolled:
        """Learn: observations [T, B, ...], ``start`` [T, B], the state before the first step."""
        sensed = self.unroll(obs, state, start)
        return PolicyUnrolled(*self._heads(obs, sensed.features), sensed.state, sensed.cost)

    def _heads(self, obs: Obs, features: Tensor) -> tuple[Actions, Tensor]:
        actions = self.actor(self.actor_body(features), obs.get(ACTION_MASK))
        return actions, self.critic(self.critic_body(features)).squeeze(-1)


def build_policy(
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    memory: Mapping[str, Any],
    config: PolicyConfig,
) -> Policy:
    """A policy for these spaces; ``memory`` is a name and that memory's options.

    Raises:
        ValueError: a space is unsupported, or a memory or an option is unknown.
    """
    encoder, core = build_parts(observation_space, memory, config)
    return Policy(encoder, core, action_space, skip=config.skip, head_dim=config.head_dim)
