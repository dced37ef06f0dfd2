"""The classes behind ``agent=nec`` and ``agent=mfec``."""

from __future__ import annotations

from typing import ClassVar, final

from memrl.agents.base import Parts
from memrl.agents.config import AgentConfig
from memrl.agents.episodic.agent import EpisodicControl
from memrl.agents.episodic.mfec import MFEC, MFECConfig
from memrl.agents.episodic.nec import NEC, Embedding, NECConfig
from memrl.agents.epsilon_greedy import number_of_actions
from memrl.agents.part_checks import refuse_memory, refuse_network
from memrl.policies.backbone import build_parts

IN = "dictionaries whose keys are single observations"


@final
class NECAgent(EpisodicControl):
    """Neural episodic control."""

    Config: ClassVar[type[AgentConfig]] = NECConfig

    @classmethod
    def build(cls, parts: Parts, config: NECConfig) -> NECAgent:
        """See ``BaseAgent.build``; raises where a memory, a head or actions cannot be used."""
        env, policy = parts.env, parts.policy
        refuse_memory(parts, "nec", IN)
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
        refuse_memory(parts, "mfec", IN)
        refuse_network(parts, "mfec", "its keys are random projections (agent.key_dim)")
        actions = number_of_actions(env, "mfec")
        space, device = env.observation_space, env.device
        method = MFEC(space, config, actions=actions, seed=parts.seed, device=device)
        return cls(env, method, seed=parts.seed)
