"""Small agents for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch

from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import PPOConfig
from memrl.agents.ppo.teachers import teach
from memrl.envs.make import make
from memrl.memory.registry import schema
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv
from memrl.rollout.storage import Rollout
from memrl.run.agent import Metrics
from memrl.tracking.metrics_file import is_time

SMALL = {"hidden_dim": 11, "slots": 5, "word_dim": 3, "frames": 3, "neighbours": 2}


def options(memory: str) -> dict[str, int]:
    """Small sizes for those of ``SMALL`` that the memory has."""
    return {name: size for name, size in SMALL.items() if name in schema(memory).model_fields}


def make_agent(
    memory: str = "gru",
    env: BatchedEnv | None = None,
    *,
    seed: int = 3,
    dtype: torch.dtype = torch.float32,
    policy: dict[str, Any] | None = None,
    memory_options: dict[str, Any] | None = None,
    **config: Any,
) -> PPO:
    """A PPO agent on five copies of Recall, with chunks that do not begin at episode starts."""
    torch.manual_seed(seed)
    env = env or make("probe/Recall-v0", 5, delay=2, prev_action=True, prev_reward=True)
    built = build_policy(
        env.observation_space,
        env.action_space,
        {"name": memory, **options(memory), **(memory_options or {})},
        PolicyConfig(encoder_dim=7, cell_dim=2, **(policy or {})),
    ).to(env.device, dtype)
    settings = {"steps": 21, "bptt": 7, "minibatches": 3, "epochs": 2} | config
    return PPO(env, built, PPOConfig(**settings), seed=seed)


def sequences(memory: str = "gru", seed: int = 11, dtype: torch.dtype = torch.float32) -> Rollout:
    """A rollout of another agent, with what it would do."""
    agent = make_agent(memory, seed=seed, dtype=dtype)
    agent.policy.actor.layer.weight.data.mul_(100)  # a new policy is close to uniform
    agent.collect()
    rollout = agent.rollout
    with torch.no_grad():
        out = agent.policy(rollout.obs, agent.policy.initial_state(5), rollout.start)
    teach(rollout, 0, out)
    return rollout


def learn(agent: PPO, iterations: int) -> list[dict[str, float]]:
    """The metrics of some iterations, without times."""
    rows: list[dict[str, float]] = []
    per_iteration = agent.rollout.start.numel()
    agent.learn(
        agent.env_steps + iterations * per_iteration, lambda row: rows.append(without_times(row))
    )
    return rows


def without_times(row: Metrics) -> dict[str, float]:
    """The metrics that are the same whenever a run is repeated."""
    return {name: value for name, value in row.items() if not is_time(name)}
