"""The options of ``agent=r2d2``, as in configs/agent/r2d2.yaml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, model_validator

from memrl.agents.auxiliary import AuxiliaryConfig
from memrl.agents.config import (
    AgentConfig,
    Count,
    EarlierRunsConfig,
    NonNegative,
    Positive,
    Share,
    interpolate,
    whole_iterations,
)
from memrl.options import Strict, need_reader


class ReplayConfig(Strict):
    """The replay buffer and the sampling from it."""

    capacity: Count = 200_000  # env steps stored, over all environments
    fill: Annotated[int, Ge(0)] = 10_000  # env steps before the first update
    alpha: Share = 0.9  # exponent of priorities; 0: sequences are drawn uniformly
    beta: Share = 0.6  # exponent of importance weights; rises to 1 at total_steps
    eta: Share = 0.9  # priority: η max|δ| + (1 − η) mean|δ|
    memory_limit: Positive | None = None  # GB; a larger replay is stored in memory-mapped files
    folder: Annotated[Path, Field(strict=False)] | None = None  # null: the system's

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> ReplayConfig:
        if self.folder is not None and self.memory_limit is None:
            raise ValueError(
                f"agent.replay.folder={self.folder} is not read without agent.replay.memory_limit: "
                "only a replay above that limit is stored there"
            )
        if self.alpha == 0:
            read_by = dict.fromkeys(("beta", "eta"), ("any above 0",))
            need_reader(self, "0", "agent.replay", read_by, chooser="alpha")
        return self

    def unread(self) -> set[str]:
        unread = {"beta", "eta"} if self.alpha == 0 else set()
        return unread | ({"folder"} if self.memory_limit is None else set())


class HindsightConfig(Strict):
    """Hindsight experience replay: replace desired goals by achieved ones."""

    kind: Literal["none", "future", "final", "episode"] = "none"
    share: Share = 0.8  # of a batch's episodes that are relabelled

    READ_BY: ClassVar[dict[str, tuple[str, ...]]] = {"share": ("future", "final", "episode")}

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> HindsightConfig:
        need_reader(self, self.kind, "agent.hindsight", self.READ_BY)
        return self


class RehearsalConfig(EarlierRunsConfig):
    """Agents whose sequences, each in its own task, this one learns from as from its own."""

    steps: Count = 256  # env steps per environment that are recorded of each run
    share: Annotated[float, Gt(0.0), Lt(1.0)] = 0.5  # of a minibatch's sequences
    value_weight: NonNegative = 0.5  # of half the squared distance of action values

    KEY: ClassVar[str] = "agent.rehearsal"


class R2D2Config(AgentConfig):
    """Recurrent Q-learning with prioritised replay of sequences."""

    data_parallel: ClassVar[bool] = True

    kind: Literal["r2d2"] = "r2d2"
    steps: Count = 64  # env steps per environment between two reports
    burn_in: Annotated[int, Ge(0)] = 20  # env steps before `unroll` that only compute the state
    unroll: Count = 20  # env steps of a sequence that are learned from
    stride: Count | None = None  # env steps between the starts of two sequences; null: `unroll`
    n_step: Count = 3  # rewards before a target bootstraps
    refresh_states: bool = False  # write recomputed states back into the replay buffer
    batch: Count = 32  # sequences in a minibatch
    replay_ratio: Positive = 2.0  # env steps learned from, per env step collected
    lr: Positive = 5.0e-4
    gamma: Share = 0.99
    rescale: NonNegative = 0.0  # ε of h(x); 0: returns are not rescaled
    dueling: bool = True
    double: bool = True  # double Q-learning: the online network chooses the target's action
    target_every: Count = 100  # updates between two updates of the target network
    core_cost: NonNegative = 1.0  # weight of the core's own loss
    max_grad_norm: Positive = 10.0
    epsilon: Annotated[float, Gt(0.0), Le(1.0)] = 0.4  # env i of B uses ε^(1 + α i / (B − 1))
    epsilon_alpha: NonNegative = 7.0  # that α
    epsilon_evaluate: Share = 0.01  # ε of `memrl evaluate` and `watch`, unless greedy
    replay: ReplayConfig = ReplayConfig()
    hindsight: HindsightConfig = HindsightConfig()
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    rehearsal: RehearsalConfig = RehearsalConfig()

    @property
    def length(self) -> int:
        """Env steps of a sequence."""
        return self.burn_in + self.unroll + self.n_step

    @property
    def rehearsed(self) -> int:
        """Sequences of earlier tasks in a minibatch."""
        return round(self.rehearsal.share * self.batch) if self.rehearsal.runs else 0

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> R2D2Config:
        sequence = (
            f"a sequence has {self.length} env steps (agent.burn_in, agent.unroll, agent.n_step)"
        )
        self.auxiliary.need_within(self.length, sequence)
        if not self.rehearsal.runs:
            return self
        if self.rehearsal.steps < self.length:
            raise ValueError(
                f"agent.rehearsal.steps is {self.rehearsal.steps}, but {sequence}; allowed: at "
                f"least {self.length}"
            )
        if not 0 < self.rehearsed < self.batch:
            raise ValueError(
                f"agent.rehearsal.share={self.rehearsal.share:g} of agent.batch={self.batch} is "
                f"{self.rehearsed} sequences, allowed: at least 1, and 1 less than the batch"
            )
        return self

    def schedules(self, progress: float) -> dict[str, float]:
        return {"replay.beta": interpolate(self.replay.beta, 1.0, progress)}

    def rows(self, num_envs: int) -> int:
        return self.batch

    def idle(self, total_steps: int, num_envs: int) -> str | None:
        owed = self.batch * self.unroll / (self.replay_ratio * num_envs)
        first = math.ceil(self.replay.fill / num_envs) + math.ceil(owed) - 1  # per environment
        if num_envs * first <= whole_iterations(total_steps, self.steps * num_envs):
            return None
        return (
            f"agent.replay.fill={self.replay.fill}, agent.batch={self.batch}, "
            f"agent.unroll={self.unroll} and agent.replay_ratio={self.replay_ratio:g}"
        )
