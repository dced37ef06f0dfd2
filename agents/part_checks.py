"""Checks of the parts that an agent does not use."""

from __future__ import annotations

from memrl.agents.base import Parts
from memrl.memory import registry
from memrl.policies.backbone import PolicyConfig
from memrl.policies.critic import refuse_critic


def refuse_network(parts: Parts, agent: str, instead: str) -> None:
    """Raise ValueError where an option of a network was set, for an agent that has none.

    ``instead``: what it has in place of features, for the sentence.
    """
    usual = {"policy": PolicyConfig(), "memory": registry.schema("none")()}
    given = {"policy": parts.policy.model_dump(), "memory": dict(parts.memory)}
    for group, defaults in usual.items():
        for name, default in defaults.model_dump().items():
            value = given[group].get(name, default)
            if value != default:
                raise ValueError(
                    f"{group}.{name}={value} is not read by agent={agent}, which has no network: "
                    f"{instead}"
                )


def refuse_memory(parts: Parts, agent: str, place: str) -> None:
    """Raise ValueError where a memory or a critic was chosen, for an agent that is a memory.

    ``place``: where it remembers, for the sentence.
    """
    refuse_critic(parts.policy.critic, agent)
    memory = parts.memory["name"]
    if memory != "none":
        raise ValueError(
            f"agent={agent} remembers in {place}: memory={memory} is allowed to be none only"
        )
