"""Small planning agents for the tests of this folder."""

from __future__ import annotations

from typing import Any

from memrl.agents.base import Parts
from memrl.agents.planning.agent import PlanAgent
from memrl.agents.planning.config import PlanConfig
from memrl.envs.make import make
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv

SMALL = {"steps": 12, "every": 6, "capacity": 300}


def make_plan(env: BatchedEnv | None = None, *, seed: int = 3, **config: Any) -> PlanAgent:
    """A planning agent on three copies of Recall."""
    env = env or make("probe/Recall-v0", 3, delay=2)
    parts = Parts(env, {"name": "none"}, PolicyConfig(), seed)
    return PlanAgent.build(parts, PlanConfig(**{**SMALL, **config}))


def learn_plan(agent: PlanAgent, iterations: int) -> list[dict[str, float]]:
    """The metrics of some iterations."""
    rows: list[dict[str, float]] = []
    steps = agent.config.steps * agent.env.num_envs
    agent.learn(agent.env_steps + iterations * steps, lambda row: rows.append(dict(row)))
    return rows
