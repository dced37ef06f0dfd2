"""What can be set of an agent, and of PPO: the same keys as configs/agent/ppo.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict

Share = Annotated[float, Ge(0.0), Le(1.0)]
NonNegative = Annotated[float, Ge(0.0)]
Positive = Annotated[float, Gt(0.0)]
Count = Annotated[int, Ge(1)]


class AgentConfig(BaseModel):
    """What can be set of an agent; ``kind`` is its name in the menu."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    any_memory: ClassVar[bool] = True  # whether it learns with any memory, or with none only

    kind: str


class BonusConfig(BaseModel):
    """An episodic novelty bonus, annealed linearly to zero."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Literal["none", "first_visit"] = "none"
    scale: NonNegative = 0.02  # reward for an observation not seen before in the episode
    anneal: Positive | None = 4.0e6  # env steps until the scale is zero; null: constant
    capacity: Count = 512  # distinct observations that an episode's set holds
    key: str | None = None  # the entry that counts as what was seen; see `agents/novelty.py`


class PPOConfig(AgentConfig):
    """Proximal policy optimisation on whole chunks."""

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
    value_coef: NonNegative = 0.5
    core_cost: NonNegative = 1.0  # weight of the core's own loss
    max_grad_norm: Positive = 0.5
    target_kl: Positive | None = None  # an epoch beyond it ends the iteration
    normalise_advantages: bool = True
    normalise_returns: bool = False  # the critic predicts returns standardised by those seen
    precision: Literal["float32", "bf16"] = "float32"
    bonus: BonusConfig = BonusConfig()
