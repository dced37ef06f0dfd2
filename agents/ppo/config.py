"""The keys of ``agent=ppo``, as in configs/agent/ppo.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from pydantic import ConfigDict, model_validator

from memrl.agents.auxiliary import AuxiliaryConfig
from memrl.agents.config import (
    AgentConfig,
    Count,
    EarlierRunsConfig,
    NonNegative,
    Positive,
    Share,
    interpolate,
)
from memrl.agents.ppo.bonus_options import built_in, options_of_kind
from memrl.bonus.registry import BONUSES, NONE
from memrl.options import Strict, need_reader


class BonusConfig(Strict):
    """An episodic novelty bonus, annealed linearly to zero.

    Further keys are options of the bonus. With a built-in kind, or none, those of all built-in
    ones are there, as in configs of older runs; what the kind does not read keeps its default.
    """

    model_config = ConfigDict(extra="allow")

    kind: str = NONE  # or the word of a bonus
    scale: NonNegative = 0.02  # reward per unit of the bonus: a first visit, or its spread
    anneal: Positive | None = 4.0e6  # env steps until the scale is zero; null: constant
    key: str | None = None  # the entry that counts as what was seen; see `agents/ppo/bonus.py`

    @model_validator(mode="before")
    @classmethod
    def _options_are_the_kinds(cls, given: Any) -> Any:
        kind = given.get("kind", NONE) if isinstance(given, Mapping) else None
        if not isinstance(kind, str):
            return given
        own = {key: value for key, value in given.items() if key in cls.model_fields}
        options = {key: value for key, value in given.items() if key not in own}
        return own | options_of_kind(kind, options)

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> BonusConfig:
        read_by = dict.fromkeys(("scale", "anneal", "key"), tuple(built_in()))
        if self.kind == NONE:
            need_reader(self, self.kind, "agent.bonus", read_by)
        return self

    def unread(self) -> set[str]:
        if self.kind == NONE:
            return {"scale", "anneal", "key", *(self.model_extra or {})}
        return set(self.model_extra or {}).difference(self.options)

    @property
    def options(self) -> dict[str, Any]:
        """What the constructor of the kind is given."""
        known = BONUSES.schema(self.kind).model_fields
        return {key: value for key, value in (self.model_extra or {}).items() if key in known}


class SelfImitationConfig(Strict):
    """Learning again from the agent's own best episodes."""

    kind: Literal["none", "episodes"] = "none"
    capacity: Count = 128  # episodes that are kept: those of the highest returns
    longest: Count = 256  # env steps; a longer episode is not kept
    updates: Count = 4  # optimiser steps an iteration
    batch: Count = 16  # episodes in each
    weight: NonNegative = 1.0
    value_weight: NonNegative = 0.01  # of the value's part in it
    exponent: Share = 0.6  # of priorities; 0: all episodes alike

    READ_BY: ClassVar[dict[str, tuple[str, ...]]] = dict.fromkeys(
        ("capacity", "longest", "updates", "batch", "weight", "value_weight", "exponent"),
        ("episodes",),
    )

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> SelfImitationConfig:
        need_reader(self, self.kind, "agent.self_imitation", self.READ_BY)
        return self


class ImitationConfig(EarlierRunsConfig):
    """Trained agents that an agent imitates beside its own learning."""

    weight: NonNegative = 1.0  # of KL(theirs ‖ its own)
    value_weight: NonNegative = 0.5  # of half the squared distance of values


class TeacherConfig(ImitationConfig):
    """Agents that say what they would do wherever this one acts."""

    KEY: ClassVar[str] = "agent.teacher"


class RehearsalConfig(ImitationConfig):
    """Agents whose sequences, each in its own task, this one clones, and may learn from."""

    steps: Count = 256  # env steps per environment that are recorded of each run
    chunks: Count = 16  # in each minibatch
    vtrace: NonNegative = 0.0  # of V-trace's losses, which learn from the old rewards; 0: cloning

    KEY: ClassVar[str] = "agent.rehearsal"


class PPOConfig(AgentConfig):
    """Proximal policy optimisation on whole chunks."""

    data_parallel: ClassVar[bool] = True

    kind: Literal["ppo"] = "ppo"
    steps: Count = 64  # env steps per environment and rollout
    bptt: Count = 64  # env steps a gradient may travel back
    burn_in: Annotated[int, Ge(0)] = 0  # steps that only warm the state of later chunks
    refresh_states: bool = False  # recompute chunk-start states before each further epoch
    epochs: Count = 4
    minibatches: Count = 4
    lr: Positive = 1.0e-3
    lr_end: NonNegative = 0.0  # reached linearly at total_steps
    lr_memory: NonNegative = 1.0  # the core's learning rate, a multiple of lr
    entropy: NonNegative = 0.01
    entropy_end: NonNegative | None = None  # reached linearly at total_steps; null: constant
    gamma: Share = 0.99
    lam: Share = 0.95
    clip: Positive = 0.2
    value_clip: Positive | None = None
    policy_coef: NonNegative = 1.0  # of the clipped surrogate
    value_coef: NonNegative = 0.5
    core_cost: NonNegative = 1.0  # weight of the core's own loss
    max_grad_norm: Positive = 0.5
    target_kl: Positive | None = None  # an epoch beyond it ends the iteration
    normalise_advantages: bool = True
    normalise_returns: bool = False  # the critic predicts returns standardised by those seen
    precision: Literal["float32", "bf16"] = "float32"
    bonus: BonusConfig = BonusConfig()
    self_imitation: SelfImitationConfig = SelfImitationConfig()
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    teacher: TeacherConfig = TeacherConfig()
    rehearsal: RehearsalConfig = RehearsalConfig()

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> PPOConfig:
        if self.refresh_states and self.epochs == 1:
            raise ValueError(
                "agent.refresh_states=True is not read with agent.epochs=1: states are recomputed "
                "before each further epoch"
            )
        chunk = f"a chunk has {min(self.bptt, self.steps)} env steps (agent.bptt, agent.steps)"
        self.auxiliary.need_within(min(self.bptt, self.steps), chunk)
        return self

    def rows(self, num_envs: int) -> int:
        return max(1, num_envs * math.ceil(self.steps / self.bptt) // self.minibatches)

    def schedules(self, progress: float) -> dict[str, float]:
        return {
            "lr": interpolate(self.lr, self.lr_end, progress),
            "entropy": interpolate(self.entropy, self.entropy_end, progress),
        }
