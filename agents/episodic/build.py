"""The classes behind ``agent=nec`` and ``agent=mfec``."""

from __future__ import annotations

from typing import ClassVar, final

from memrl.agents.base import Parts
from memrl.agents.config import AgentConfig
from memrl.agents.episodic.agent import EpisodicControl
from memrl.agents.episodic.mfec import MFEC, MFECConfig
from memrl.agents.episodic.nec import NEC, Embedding, NECConfig
from memrl.agents.epsilon_greedy import number_of_actions
from memrl.memory import registry
from memrl.policies.backbone import PolicyConfig, build_parts
from memrl.policies.critic import refuse_critic


@final
class NECAgent(EpisodicControl):
    """Neural episodic control."""

    Config: ClassVar[type[AgentConfig]] = NECConfig

    @classmethod
    def build(cls, parts: Parts, config: NECConfig) -> NECAgent:
        """See ``BaseAgent.build``; raises where a memory, a head or actions cannot be used."""
        env, policy = parts.env, parts.policy
        _no_memory(parts, "nec")
        if policy.head_dim:
            raise ValueError(
                f"agent=nec has no heads: policy.head_dim={policy.head_dim} is allowed 0"
            )
        actions = number_of_actions(env, "nec")
        encoder, core = build_parts(env.observation_space, parts.memory, policy)
        embedding = Embedding(encoder, core, skip=policy.skip).to(env.device)
        method = NEC(embedding, config, actions=actions, seed=parts.seed, copies=env.num_envs)
        return cls(env, method, seed=parts.seed)


@final
class MFECAgent(EpisodicControl):
    """Model-free episodic control; its keys are a random projection of observations."""

    Config: ClassVar[type[AgentConfig]] = MFECConfig

    @classmethod
    def build(cls, parts: Parts, config: MFECConfig) -> MFECAgent:
        """See ``BaseAgent.build``; raises where an option of the policy or memory was set."""
        env = parts.env
        _no_memory(parts, "mfec")
        _no_network(parts)
        actions = number_of_actions(env, "mfec")
        space, device = env.observation_space, env.device
        method = MFEC(space, config, actions=actions, seed=parts.seed, device=device)
        return cls(env, method, seed=parts.seed)


def _no_network(parts: Parts) -> None:
    """Raise ValueError where an option of a network was set: mfec has none."""
    usual = {"policy": PolicyConfig(), "memory": registry.schema("none")()}
    given = {"policy": parts.policy.model_dump(), "memory": dict(parts.memory)}
    for group, defaults in usual.items():
        for name, default in defaults.model_dump().items():
            value = given[group].get(name, default)
            if value != default:
                raise ValueError(
                    f"{group}.{name}={value} is not read by agent=mfec, which has no network: its "
                    "keys are random projections (agent.key_dim)"
                )


def _no_memory(parts: Parts, agent: str) -> None:
    refuse_critic(parts.policy.critic, agent)
    memory = parts.memory["name"]
    if memory != "none":
        raise ValueError(
            f"agent={agent} remembers in dictionaries whose keys are single observations: "
            f"memory={memory} is allowed to be none only"
        )
