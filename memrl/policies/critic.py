"""Which memory the critic reads: the actor's, one of its own, or none."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, final

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled, common_horizon
from memrl.nn.encoder import Encoder
from memrl.nn.normalise import RunningNorm
from memrl.rollout.env import Obs

Critic: TypeAlias = Literal["shared", "detached", "own", "none"]
SEPARATE = ("own", "none")  # the critic has a core of its own; that of "none" has no memory


class TwoStates(NamedTuple):
    """The states of the actor's and the critic's memory."""

    actor: Any
    critic: Any


@final
class TwoMemories(MemoryCore[TwoStates]):
    """The actor's memory and the critic's side by side; the actor's features are the first.

    Args:
        actor: the actor's memory.
        critic: the critic's.
        split: each reads its own part of the input, the actor the first ``actor.in_dim``
            features; otherwise both read all of it.
    """

    def __init__(self, actor: MemoryCore[Any], critic: MemoryCore[Any], *, split: bool) -> None:
        in_dim = actor.in_dim + critic.in_dim if split else actor.in_dim
        super().__init__(in_dim, actor.out_dim + critic.out_dim)
        self.actor, self.critic, self.split = actor, critic, split
        self.horizon = common_horizon((actor, critic), max)
        self.ablations = actor.ablations

    def initial_state(self, batch_size: int) -> TwoStates:
        return TwoStates(
            self.actor.initial_state(batch_size), self.critic.initial_state(batch_size)
        )

    def _update(self, x: Tensor, state: TwoStates) -> tuple[Tensor, TwoStates]:
        return self.step(x, state, torch.zeros(len(x), dtype=torch.bool, device=x.device))

    def step(
        self, x: Tensor, state: TwoStates, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, TwoStates]:
        one, two = self._inputs(x)
        y, actor = self.actor.step(one, state.actor, start, donate=donate)
        z, critic = self.critic.step(two, state.critic, start, donate=donate)
        return torch.cat([y, z], dim=-1), TwoStates(actor, critic)

    def forward(self, x: Tensor, state: TwoStates, start: Tensor) -> Unrolled:
        one, two = self._inputs(x)
        a, b = self.actor(one, state.actor, start), self.critic(two, state.critic, start)
        costs = [part.cost for part in (a, b) if part.cost is not None]
        return Unrolled(
            torch.cat([a.y, b.y], dim=-1),
            TwoStates(a.state, b.state),
            torch.stack(costs).sum(0) if costs else None,
        )

    def reset(
        self, state: TwoStates, initial: TwoStates, start: Tensor, *, donate: bool = False
    ) -> TwoStates:
        return TwoStates(
            self.actor.reset(state.actor, initial.actor, start, donate=donate),
            self.critic.reset(state.critic, initial.critic, start, donate=donate),
        )

    def diagnostics(self, state: TwoStates) -> dict[str, Tensor]:
        """The actor's under their names, the critic's with ``critic.`` before them."""
        critics = self.critic.diagnostics(state.critic)
        return self.actor.diagnostics(state.actor) | {f"critic.{k}": v for k, v in critics.items()}

    def step_diagnostics(self, x: Tensor, state: TwoStates) -> dict[str, Tensor]:
        one, two = self._inputs(x)
        critics = self.critic.step_diagnostics(two, state.critic)
        told = self.actor.step_diagnostics(one, state.actor)
        return told | {f"critic.{name}": value for name, value in critics.items()}

    def silence(self, part: str | None) -> None:
        self.actor.silence(part)
        self.critic.silence(part if part in self.critic.ablations else None)

    @property
    def loops(self) -> bool:
        return self.actor.loops

    @property
    def nothing_to_compile(self) -> str:
        return self.actor.nothing_to_compile

    def compile_update(self) -> None:
        for core in (self.actor, self.critic):
            if core.loops:
                core.compile_update()

    def views(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What actor and critic read of [*N, F]: outputs of both, and inputs behind them if any."""
        y, z, x = features.tensor_split([self.actor.out_dim, self.out_dim], dim=-1)
        if x.shape[-1] == 0:
            return y, z
        one, two = self._inputs(x)
        return torch.cat([y, one], dim=-1), torch.cat([z, two], dim=-1)

    def _inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self.split:
            return x, x
        one, two = x.tensor_split([self.actor.in_dim], dim=-1)
        return one, two


@final
class TwoEncoders(Encoder):
    """An encoder for the actor and one for the critic; their features are concatenated."""

    def __init__(self, actor: Encoder, critic: Encoder) -> None:
        super().__init__()
        self.both = nn.ModuleList([actor, critic])
        self.features_dim = actor.features_dim + critic.features_dim

    def forward(self, obs: Obs) -> Tensor:
        return torch.cat([encoder(obs) for encoder in self.both], dim=-1)

    def update(self, obs: Obs, valid: Tensor) -> None:
        for encoder in self.both:
            assert isinstance(encoder, Encoder)
            encoder.update(obs, valid)

    def standardises(self, key: str) -> RunningNorm | None:
        """What does so for the actor."""
        actor = self.both[0]
        assert isinstance(actor, Encoder)
        return actor.standardises(key)


def refuse_critic(critic: Critic, agent: str) -> None:
    """Refuse ``policy.critic`` for an agent without a critic.

    Raises:
        ValueError: it is set.
    """
    if critic != "shared":
        raise ValueError(
            f"policy.critic={critic} is not read by agent={agent}, which has no critic (it is by "
            "agent=ppo)"
        )
