"""Small R2D2 agents for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
from small_agents import options, without_times

from memrl.agents.r2d2.agent import R2D2
from memrl.agents.r2d2.config import R2D2Config
from memrl.envs.make import make
from memrl.policies.backbone import PolicyConfig
from memrl.policies.q_network import build_q_network
from memrl.rollout.env import BatchedEnv

REPLAY = {"capacity": 700, "fill": 0}


def make_r2d2(
    memory: str = "gru",
    env: BatchedEnv | None = None,
    *,
    seed: int = 3,
    dtype: torch.dtype = torch.float32,
    policy: dict[str, Any] | None = None,
    replay: dict[str, Any] | None = None,
    **config: Any,
) -> R2D2:
    """An agent on five copies of Recall, with sequences that do not begin at episode starts."""
    torch.manual_seed(seed)
    env = env or make("probe/Recall-v0", 5, delay=2, prev_action=True, prev_reward=True)
    settings = {"steps": 23, "burn_in": 3, "unroll": 7, "n_step": 2, "batch": 6, "target_every": 2}
    checked = R2D2Config(**(settings | {"replay": REPLAY | (replay or {})} | config))
    network = build_q_network(
        env.observation_space,
        env.action_space,
        {"name": memory, **options(memory)},
        PolicyConfig(encoder_dim=7, cell_dim=2, **(policy or {})),
        dueling=checked.dueling,
    )
    return R2D2(env, network.to(env.device, dtype), checked, seed=seed)


def learn_r2d2(agent: R2D2, iterations: int) -> list[dict[str, float]]:
    """The metrics of some iterations, without times."""
    rows: list[dict[str, float]] = []
    per_iteration = agent.config.steps * agent.collector.env.num_envs
    agent.learn(
        agent.env_steps + iterations * per_iteration, lambda row: rows.append(without_times(row))
    )
    return rows
