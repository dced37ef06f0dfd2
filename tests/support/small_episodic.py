"""Small episodic agents for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch

from memrl.agents.base import Parts
from memrl.agents.episodic.agent import EpisodicControl
from memrl.agents.episodic.build import MFECAgent, NECAgent
from memrl.agents.episodic.mfec import MFECConfig
from memrl.agents.episodic.nec import NECConfig
from memrl.envs.make import make
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv

SMALL = {"steps": 12, "every": 6, "neighbours": 5, "capacity": 300, "epsilon_steps": 100.0}
LEARNING = {"horizon": 4, "warmup": 30, "replay": 200, "batch": 7, "lr": 1e-3, "lr_entries": 1e-3}
MEMORY = {"name": "none", "hidden_dim": 5}


def make_agent(
    kind: str, env: BatchedEnv | None = None, *, seed: int = 3, **config: Any
) -> EpisodicControl:
    """An episodic agent on three copies of Recall."""
    torch.manual_seed(seed)
    env = env or make("probe/Recall-v0", 3, delay=2)
    if kind == "nec":
        settings = NECConfig(**{**SMALL, **LEARNING, **config})
        policy = PolicyConfig(encoder_dim=7, cell_dim=2)
        return NECAgent.build(Parts(env, MEMORY, policy, seed), settings)
    settings = MFECConfig(**{**SMALL, **config})
    return MFECAgent.build(Parts(env, {"name": "none"}, PolicyConfig(), seed), settings)


def learn(agent: EpisodicControl, iterations: int) -> list[dict[str, float]]:
    """The metrics of some iterations."""
    rows: list[dict[str, float]] = []
    steps = agent.config.steps * agent.env.num_envs
    agent.learn(agent.env_steps + iterations * steps, lambda row: rows.append(dict(row)))
    return rows


def copied(value: Any) -> Any:
    """A saved state as it would come from a file: no tensor is shared."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value
