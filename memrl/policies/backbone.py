"""The part of a network below its heads: encoder → core (→ skip)."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, NamedTuple, final

import torch
from annotated_types import Ge
from gymnasium import spaces
from pydantic import Field, model_validator
from torch import Tensor, nn

from memrl.memory import registry
from memrl.memory.core import MemoryCore, Unrolled, common_horizon
from memrl.memory.ops.autocast import autocasting
from memrl.memory.parts.slots import limit_of
from memrl.nn.encoder import ENCODERS, Encoder
from memrl.nn.init import linear
from memrl.nn.observation import ObsEncoder
from memrl.options import Strict
from memrl.policies.columns import with_columns
from memrl.policies.critic import Critic
from memrl.policies.several_cores import SeveralCores
from memrl.rollout.env import Obs
from memrl.rollout.spaces import tensor_dtype


class PolicyConfig(Strict):
    """The parts of a policy that are the same for every memory."""

    encoder: str | None = None  # module:Name; null: a part for each entry of the observation
    encoder_options: dict[str, Any] | None = None  # of that class
    encoder_dim: Annotated[int, Ge(1)] = 128  # features of each grid, picture or vector
    cell_dim: Annotated[int, Ge(1)] = 8  # embedding of a grid cell
    # Features of all discrete entries and bits together; None: as many as values, 32 to 256.
    discrete_dim: Annotated[int, Ge(1)] | None = None
    layers: Annotated[int, Ge(1)] = 1  # cores stacked on each other
    columns: Annotated[int, Ge(0)] = 0  # frozen networks of `init` that this one reads
    skip: bool = False  # the heads also see what the core saw
    critic: Critic = "shared"  # what memory it reads: the actor's (detached: and does not train it)
    head_dim: Annotated[int, Ge(0)] = 0  # hidden layer of actor and critic, each its own; 0: none
    normalise_obs: bool = True  # vectors standardised by what was seen so far
    # Entries of the observation that follow the features once more, as they are: a core's context
    beside: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="before")
    @classmethod
    def _encoder_is_known(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        word, options = (given.get(key) for key in ("encoder", "encoder_options"))
        if isinstance(word, str) and isinstance(options, Mapping | None):
            return {**given, "encoder_options": ENCODERS.checked(word, options or {})}
        for name, value in (options or {}).items() if isinstance(options, Mapping) else ():
            raise ValueError(
                f"policy.encoder_options.{name}={value} is not read by policy.encoder=null (it is "
                "by an encoder of your own: policy.encoder=module:Name)"
            )
        return given

    @model_validator(mode="after")
    def _columns_fit(self) -> PolicyConfig:
        for name, allowed in (("critic", ("shared", "detached")), ("beside", ((),))):
            value = getattr(self, name)
            if self.columns and value not in allowed:
                told = ", ".join("[]" if each == () else str(each) for each in allowed)
                given = [*value] if isinstance(value, tuple) else value
                raise ValueError(
                    f"policy.{name}={given} with policy.columns={self.columns} (allowed: {told})"
                )
        return self

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> PolicyConfig:
        for name in ("cell_dim", "discrete_dim", "normalise_obs", "beside"):
            value = getattr(self, name)
            if self.encoder is not None and value != type(self).model_fields[name].default:
                raise ValueError(
                    f"policy.{name}={value} is not read by policy.encoder={self.encoder} (it is by "
                    "policy.encoder=null)"
                )
        return self


class Sensed(NamedTuple):
    """The outputs of a backbone for a sequence."""

    features: Tensor  # [T, B, F]
    state: Any  # the core's state after the last step
    cost: Tensor | None  # [T, B]  the core's own loss


class Backbone(nn.Module, ABC):
    """Encoder → core (→ skip), the part that policies and Q-networks share.

    Attributes:
        features_dim: F, width of what the heads read.
        memory_dim: O, width of the (actor's) memory's output, with which the features begin.
    """

    def __init__(self, encoder: Encoder, core: MemoryCore[Any], *, skip: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.core = core
        self.skip = skip
        self.memory_dim = core.out_dim
        self.features_dim = core.out_dim + (core.in_dim if skip else 0)

    def initial_state(self, batch_size: int) -> Any:
        """The core's state before an episode."""
        return self.core.initial_state(batch_size)

    def sense(
        self, obs: Obs, state: Any, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, Any]:
        """One step: observations [B, ...], ``start`` [B]; features [B, F] and the next state."""
        x = self.encoder(obs)
        y, state = self.core.step(x, state, start, donate=donate)
        return self._beside(x, y), state

    def unroll(self, obs: Obs, state: Any, start: Tensor) -> Sensed:
        """A sequence: observations [T, B, ...], ``start`` [T, B], the state before its first."""
        x = self.encoder(obs)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # undo autocast
        with self._core_precision(x.device):
            y, state, cost = self.core(x, state, start)
        return Sensed(self._beside(x, y), state, cost)

    def _beside(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([y, x], dim=-1) if self.skip else y

    def _core_precision(self, device: torch.device) -> AbstractContextManager[Any]:
        """Under autocast, cores compute in full precision but for those that say they need not."""
        if not autocasting(device):
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16, enabled=self.core.autocasts)


@final
class Stacked(SeveralCores):
    """Cores on top of each other, each reads the output of the one below; a tuple of states."""

    def __init__(self, cores: list[MemoryCore[Any]]) -> None:
        super().__init__(cores[0].in_dim, cores[-1].out_dim)
        self.cores = nn.ModuleList(cores)
        self.horizon = common_horizon(cores, sum)
        self.ablations = frozenset[str]().union(*(core.ablations for core in cores))

    def step(
        self, x: Tensor, state: tuple[Any, ...], start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, tuple[Any, ...]]:
        states = []
        for core, below in zip(self._cores(), state, strict=True):
            x, after = core.step(x, below, start, donate=donate)
            states.append(after)
        return x, tuple(states)

    def forward(self, x: Tensor, state: tuple[Any, ...], start: Tensor) -> Unrolled:
        states, cost = [], None
        for core, below in zip(self._cores(), state, strict=True):
            x, after, own = core(x, below, start)
            states.append(after)
            if own is not None:
                cost = own if cost is None else cost + own
        return Unrolled(x, tuple(states), cost)

    def diagnostics(self, state: tuple[Any, ...]) -> dict[str, Tensor]:
        return {
            f"{i}.{name}": value
            for i, (core, own) in enumerate(zip(self._cores(), state, strict=True))
            for name, value in core.diagnostics(own).items()
        }

    def step_diagnostics(self, x: Tensor, state: tuple[Any, ...]) -> dict[str, Tensor]:
        told: dict[str, Tensor] = {}
        start = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for i, (core, own) in enumerate(zip(self._cores(), state, strict=True)):
            told |= {f"{i}.{name}": v for name, v in core.step_diagnostics(x, own).items()}
            x, _ = core.step(x, own, start)
        return told

    def silence(self, part: str | None) -> None:
        super().silence(part)
        for core in self._cores():
            core.silence(part if part in core.ablations else None)

    @property
    def loops(self) -> bool:
        return all(core.loops for core in self._cores())

    @property
    def nothing_to_compile(self) -> str:
        return self._cores()[0].nothing_to_compile

    def _cores(self) -> list[MemoryCore[Any]]:
        return [core for core in self.cores if isinstance(core, MemoryCore)]


def build_encoder(space: spaces.Dict, config: PolicyConfig) -> Encoder:
    """The encoder of a config for the observations of ``space``.

    Raises:
        ValueError: an entry that the built-in encoder does not take, an encoder or an option that
            is not known, or one whose features have another shape than it says.
    """
    if config.encoder is None:
        return ObsEncoder(
            space,
            config.encoder_dim,
            cell_dim=config.cell_dim,
            discrete_dim=config.discrete_dim,
            normalise=config.normalise_obs,
            beside=config.beside,
        )
    options = config.encoder_options
    encoder = ENCODERS.build(config.encoder, space, config.encoder_dim, options=options)
    width = getattr(encoder, "features_dim", None)
    for axes in ((2,), (3, 2)):
        obs = {
            key: torch.zeros(*axes, *(entry.shape or ()), dtype=tensor_dtype(entry))
            for key, entry in space.spaces.items()
        }
        with torch.no_grad():
            made = tuple(encoder(obs).shape)
        if made != (*axes, width):
            raise ValueError(
                f"policy.encoder={config.encoder} makes features {list(made)} of a batch "
                f"{list(axes)}: allowed is {[*axes, width]}, its features_dim last"
            )
    return encoder


def build_parts(
    observation_space: spaces.Dict, memory: Mapping[str, Any], config: PolicyConfig
) -> tuple[Encoder, MemoryCore[Any]]:
    """Encoder and core of a backbone; raises as ``build_policy``."""
    if config.columns and (grow := limit_of(memory)) is not None:
        raise ValueError(
            f"memory.grow={grow} with policy.columns={config.columns}: columns have one size "
            "(allowed: null)"
        )
    encoders = [build_encoder(observation_space, config) for _ in range(config.columns + 1)]
    cores = [build_core(encoder, memory, config) for encoder in encoders]
    return with_columns(encoders, cores) if config.columns else (encoders[0], cores[0])


def build_core(
    encoder: Encoder, memory: Mapping[str, Any], config: PolicyConfig
) -> MemoryCore[Any]:
    """The memory of a backbone, in as many layers as the config says.

    Raises:
        ValueError: a memory or an option is unknown, or its context is not what lies beside.
    """
    options = {key: value for key, value in memory.items() if key != "name"}
    cores, width = [], encoder.features_dim
    for _ in range(config.layers):
        cores.append(registry.build(memory["name"], width, options))
        width = cores[-1].out_dim
    if cores[0].draws:
        raise ValueError(
            f"memory={memory['name']} draws what it reads, and learns that from the loss of whole "
            "sequences, which only memrl fit has (allowed here: a read that is not drawn)"
        )
    if config.layers > 1 and options.get("context"):
        raise ValueError(
            f"memory.context={options['context']} with policy.layers={config.layers}: what a layer "
            "above reads ends with no context (allowed: policy.layers=1)"
        )
    beside = encoder.beside_dim
    if beside and cores[0].context not in (None, beside):
        raise ValueError(
            f"memory.context is {options.get('context', 0)}, and policy.beside="
            f"{list(config.beside)} has {beside} numbers (allowed: memory.context={beside})"
        )
    return cores[0] if config.layers == 1 else Stacked(cores)


def head_body(in_dim: int, hidden_dim: int) -> nn.Module:
    """The hidden layer between memory and head; the identity if ``hidden_dim`` is 0.

    Often the right action depends on a recalled cue and the present observation together (the
    object *like the one seen before*). A linear head on the memory's output cannot express that.
    """
    return nn.Sequential(linear(in_dim, hidden_dim), nn.ReLU()) if hidden_dim else nn.Identity()
