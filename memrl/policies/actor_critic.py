"""The actor-critic network: encoder, memory core, actor and critic heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, final

import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.memory.none import NoMemory
from memrl.nn.actions import ActionHead, Actions
from memrl.nn.encoder import Encoder
from memrl.nn.init import linear
from memrl.policies.backbone import (
    Backbone,
    PolicyConfig,
    build_core,
    build_parts,
    head_body,
)
from memrl.policies.critic import SEPARATE, Critic, TwoEncoders, TwoMemories
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK


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
    memory: Tensor  # [T, B, O]  the output of the actor's memory


class Bodies(NamedTuple):
    """The layers between memory and heads, and their output widths."""

    actor: nn.Module  # [*N, F] -> [*N, actor_dim]
    critic: nn.Module
    actor_dim: int
    critic_dim: int


MakeBodies: TypeAlias = Callable[[int, int], Bodies]  # of the widths that actor and critic read


@final
class Policy(Backbone):
    """An actor and a critic; ``critic`` says whether they share one memory."""

    def __init__(
        self,
        encoder: Encoder,
        core: MemoryCore[Any],
        action_space: spaces.Space[Any],
        *,
        skip: bool,
        make_bodies: MakeBodies,
        critic: Critic = "shared",
    ) -> None:
        super().__init__(encoder, core, skip=skip)
        self.critic_reads = critic
        if isinstance(core, TwoMemories):
            self.memory_dim = core.actor.out_dim
        shapes = self._views(torch.empty(0, self.features_dim, device="meta"))
        bodies = make_bodies(*(view.shape[-1] for view in shapes))
        self.actor_body, self.critic_body = bodies.actor, bodies.critic
        self.actor = ActionHead(bodies.actor_dim, action_space)
        self.critic = linear(bodies.critic_dim, 1, gain=1.0)

    def step(self, obs: Obs, state: Any, start: Tensor, *, donate: bool = False) -> PolicyStep:
        """Act: observations [B, ...], ``start`` [B] is True at the first step of an episode."""
        features, state = self.sense(obs, state, start, donate=donate)
        return PolicyStep(*self._heads(obs, features), state)

    def forward(self, obs: Obs, state: Any, start: Tensor) -> PolicyUnrolled:
        """Learn: observations [T, B, ...], ``start`` [T, B], the state before the first step."""
        sensed = self.unroll(obs, state, start)
        memory = sensed.features[..., : self.memory_dim]
        return PolicyUnrolled(*self._heads(obs, sensed.features), sensed.state, sensed.cost, memory)

    def _heads(self, obs: Obs, features: Tensor) -> tuple[Actions, Tensor]:
        one, two = self._views(features)
        actions = self.actor(self.actor_body(one), obs.get(MASK))
        return actions, self.critic(self.critic_body(two)).squeeze(-1)

    def _views(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the actor and the critic read."""
        if isinstance(self.core, TwoMemories):
            return self.core.views(features)
        return features, features.detach() if self.critic_reads == "detached" else features


def build_policy(
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    memory: Mapping[str, Any],
    config: PolicyConfig,
    *,
    make_bodies: MakeBodies | None = None,
    encoders: Sequence[Encoder] = (),
) -> Policy:
    """A policy for these spaces.

    Args:
        observation_space: of one environment.
        action_space: of one environment.
        memory: a name and that memory's options.
        config: the other parts.
        make_bodies: builds the layers before the heads; None: as ``config.head_dim`` says.
        encoders: one, or the actor's and the critic's; none: as ``config`` says.

    Raises:
        ValueError: a space is unsupported, or a memory or an option is unknown.
    """
    if encoders:
        one, *others = encoders
        core = build_core(one, memory, config)
    else:
        others = []
        one, core = build_parts(observation_space, memory, config)
    encoder: Encoder = one
    if config.critic in SEPARATE:
        two = others[0] if others else one
        core = TwoMemories(core, _critic_core(core, two, memory, config), split=bool(others))
        encoder = TwoEncoders(one, two) if others else one
    elif others:
        raise ValueError(f"policy.critic={config.critic} with two encoders, allowed: own, none")
    return Policy(
        encoder,
        core,
        action_space,
        skip=config.skip,
        make_bodies=make_bodies or partial(_bodies, config.head_dim),
        critic=config.critic,
    )


def _critic_core(
    core: MemoryCore[Any], encoder: Encoder, memory: Mapping[str, Any], config: PolicyConfig
) -> MemoryCore[Any]:
    """The critic's core: one like the actor's, or a layer of the same width without memory."""
    if config.critic == "none":
        return NoMemory(encoder.features_dim, hidden_dim=core.out_dim)
    return build_core(encoder, memory, config)


def _bodies(head_dim: int, actor_in: int, critic_in: int) -> Bodies:
    actor, critic = head_body(actor_in, head_dim), head_body(critic_in, head_dim)
    return Bodies(actor, critic, head_dim or actor_in, head_dim or critic_in)
