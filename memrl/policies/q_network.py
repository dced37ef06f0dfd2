"""The Q-network: encoder, memory core, heads for the values of all actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.nn.actions import allowed
from memrl.nn.encoder import Encoder
from memrl.nn.init import linear
from memrl.policies.backbone import Backbone, PolicyConfig, build_parts, head_body
from memrl.policies.critic import refuse_critic
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK, brief_space


class QStep(NamedTuple):
    """A Q-network's outputs for one step."""

    q: Tensor  # [B, A]; masked actions have the dtype's lowest value
    state: Any  # the core's next state


class QUnrolled(NamedTuple):
    """A Q-network's outputs for a sequence."""

    q: Tensor  # [T, B, A]
    state: Any  # the core's state after the last step
    cost: Tensor | None  # [T, B]  the core's own loss
    memory: Tensor  # [T, B, O]  the memory's output


@final
class QNetwork(Backbone):
    """Q-values of A actions, given the history of observations.

    With ``dueling`` (Wang et al. 2016, eq. 9), one head predicts the state value, another the
    advantages of the actions; their mean is subtracted.
    """

    def __init__(
        self,
        encoder: Encoder,
        core: MemoryCore[Any],
        num_actions: int,
        *,
        skip: bool,
        head_dim: int,
        dueling: bool,
    ) -> None:
        super().__init__(encoder, core, skip=skip)
        width, wide = self.features_dim, head_dim or self.features_dim
        self.advantage = nn.Sequential(head_body(width, head_dim), linear(wide, num_actions, 0.1))
        self.value = nn.Sequential(head_body(width, head_dim), linear(wide, 1)) if dueling else None

    def step(self, obs: Obs, state: Any, start: Tensor, *, donate: bool = False) -> QStep:
        """Act: observations [B, ...], ``start`` [B] is True at the first step of an episode."""
        features, state = self.sense(obs, state, start, donate=donate)
        return QStep(self._heads(obs, features), state)

    def forward(self, obs: Obs, state: Any, start: Tensor) -> QUnrolled:
        """Learn: observations [T, B, ...], ``start`` [T, B], the state before the first step."""
        sensed = self.unroll(obs, state, start)
        memory = sensed.features[..., : self.memory_dim]
        return QUnrolled(self._heads(obs, sensed.features), sensed.state, sensed.cost, memory)

    def _heads(self, obs: Obs, features: Tensor) -> Tensor:
        q: Tensor = self.advantage(features)
        if self.value is not None:
            q = self.value(features) + q - q.mean(-1, keepdim=True)
        mask = obs.get(MASK)
        return q if mask is None else q.masked_fill(~allowed(mask), torch.finfo(q.dtype).min)


def build_q_network(
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    memory: Mapping[str, Any],
    config: PolicyConfig,
    *,
    dueling: bool,
) -> QNetwork:
    """A Q-network for these spaces; ``memory`` is a name and that memory's options.

    Raises:
        ValueError: the action space is not Discrete, the observation space is unsupported, or a
            memory or an option is unknown.
    """
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(
            f"the action space is {brief_space(action_space)}, allowed for Q-learning: Discrete"
        )
    refuse_critic(config.critic, "r2d2")
    encoder, core = build_parts(observation_space, memory, config)
    return QNetwork(
        encoder,
        core,
        int(action_space.n),
        skip=config.skip,
        head_dim=config.head_dim,
        dueling=dueling,
    )
