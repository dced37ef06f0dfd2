"""Options of the planning agent."""

from __future__ import annotations

from typing import ClassVar, Literal

from memrl.agents.config import AgentConfig, Count, NonNegative, Positive, Share


class PlanConfig(AgentConfig):
    """Value iteration in a graph of observed transitions."""

    any_memory: ClassVar[bool] = False

    kind: Literal["plan"] = "plan"
    steps: Count = 256  # env steps per environment and iteration: one row of metrics
    every: Count = 64  # env steps, over all environments, between two plans
    gamma: Share = 0.99
    capacity: Count = 100_000  # nodes
    successors: Count = 4  # m, next nodes that are kept of an action at a node
    history: Count = 1  # k, observations that make a node
    resolution: Positive | None = None  # real numbers are rounded to multiples of it
    sweeps: Count = 100  # updates of all values in a plan at most: env steps that are looked ahead
    visits: Count = 1  # times that an action is tried at a node before it is known there
    optimism: float = 1.0  # value of an action that is not known, while training
    bonus: NonNegative = 0.0  # β of β / √n, while training; n: times that an action was tried
    epsilon: Share = 0.01  # share of random actions, unless evaluations are greedy
