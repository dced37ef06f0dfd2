"""How the agents that act by remembered returns are built from the parts of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memrl.agents.episodic.agent import EpisodicControl
from memrl.agents.episodic.mfec import MFEC, MFECConfig
from memrl.agents.episodic.nec import NEC, Embedding, NECConfig
from memrl.agents.epsilon_greedy import number_of_actions
from memrl.policies.backbone import PolicyConfig, build_parts
from memrl.rollout.env import BatchedEnv

Memory = Mapping[str, Any]


def build_nec(
    env: BatchedEnv, memory: Memory, policy: PolicyConfig, config: NECConfig, seed: int
) -> EpisodicControl:
    """Neural episodic control.

    Raises:
        ValueError: a memory, a head, actions or a replay that it cannot use.
    """
    _no_memory(memory, "nec")
    if policy.head_dim:
        raise ValueError(f"agent=nec has no heads: policy.head_dim={policy.head_dim} is allowed 0")
    actions = number_of_actions(env, "nec")
    encoder, core = build_parts(env.observation_space, memory, policy)
    embedding = Embedding(encoder, core, skip=policy.skip).to(env.device)
    method = NEC(embedding, config, actions=actions, seed=seed, copies=env.num_envs)
    return EpisodicControl(env, method, seed=seed)


def build_mfec(env: BatchedEnv, memory: Memory, config: MFECConfig, seed: int) -> EpisodicControl:
    """Model-free episodic control; its keys are a random projection, no key of ``policy`` is read.

    Raises:
        ValueError: a memory or actions that it cannot use.
    """
    _no_memory(memory, "mfec")
    actions = number_of_actions(env, "mfec")
    space, device = env.observation_space, env.device
    method = MFEC(space, config, actions=actions, seed=seed, device=device)
    return EpisodicControl(env, method, seed=seed)


def _no_memory(memory: Memory, agent: str) -> None:
    if memory["name"] != "none":
        raise ValueError(
            f"agent={agent} remembers in dictionaries whose keys are single observations: "
            f"memory={memory['name']} is allowed to be none only"
        )
