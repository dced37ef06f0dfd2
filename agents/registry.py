"""The agents that a config can name: the model of each one's keys, and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from memrl.agents.config import AgentConfig
from memrl.agents.episodic.agent import EpisodicControl
from memrl.agents.episodic.build import build_mfec, build_nec
from memrl.agents.episodic.mfec import MFECConfig
from memrl.agents.episodic.nec import NECConfig
from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import PPOConfig
from memrl.agents.r2d2.agent import R2D2
from memrl.agents.r2d2.config import R2D2Config
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.policies.q_network import build_q_network
from memrl.registry import nearest
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Agent


class Parts(NamedTuple):
    """What an agent is built of, besides its own config."""

    env: BatchedEnv
    memory: Mapping[str, Any]  # a name and that memory's options
    policy: PolicyConfig
    seed: int


class Kind(NamedTuple):
    """An entry of the menu."""

    config: type[AgentConfig]
    build: Callable[[Parts, Any], Agent]  # the second argument is a ``config``


def find(name: str) -> Kind:
    """The agent of that name.

    Raises:
        ValueError: there is none; the nearest is named.
    """
    if name not in AGENTS:
        raise ValueError(f"unknown agent {name!r}{nearest(name, AGENTS)} (known: {list_of()})")
    return AGENTS[name]


def list_of() -> str:
    """All names, for sentences."""
    return ", ".join(sorted(AGENTS))


def build(parts: Parts, config: BaseModel) -> Agent:
    """An agent that has learned nothing yet.

    Raises:
        ValueError: a space that it cannot read or act in, or options that do not fit.
    """
    assert isinstance(config, AgentConfig)
    return find(config.kind).build(parts, config)


def _ppo(parts: Parts, config: PPOConfig) -> PPO:
    env = parts.env
    spaces = env.observation_space, env.action_space
    policy = build_policy(*spaces, parts.memory, parts.policy).to(env.device)
    return PPO(env, policy, config, seed=parts.seed)


def _nec(parts: Parts, config: NECConfig) -> EpisodicControl:
    return build_nec(parts.env, parts.memory, parts.policy, config, parts.seed)


def _mfec(parts: Parts, config: MFECConfig) -> EpisodicControl:
    return build_mfec(parts.env, parts.memory, config, parts.seed)


def _r2d2(parts: Parts, config: R2D2Config) -> R2D2:
    env = parts.env
    spaces = env.observation_space, env.action_space
    network = build_q_network(*spaces, parts.memory, parts.policy, dueling=config.dueling)
    return R2D2(env, network.to(env.device), config, seed=parts.seed)


AGENTS = {
    "ppo": Kind(PPOConfig, _ppo),
    "nec": Kind(NECConfig, _nec),
    "mfec": Kind(MFECConfig, _mfec),
    "r2d2": Kind(R2D2Config, _r2d2),
}
