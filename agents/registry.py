"""The menu of agents: ``agent=WORD``."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from memrl.agents.base import BaseAgent, Parts
from memrl.agents.config import AgentConfig
from memrl.agents.episodic.build import MFECAgent, NECAgent
from memrl.agents.planning.agent import PlanAgent
from memrl.agents.ppo.agent import PPO
from memrl.agents.r2d2.agent import R2D2
from memrl.memory.parts.slots import limit_of
from memrl.registry import Registry
from memrl.run.agent import Agent


def _config_of(cls: type[Any]) -> type[BaseModel]:
    """The options of an agent are those of its config."""
    config = getattr(cls, "Config", None)
    if not (isinstance(config, type) and issubclass(config, AgentConfig)):
        raise ValueError("its Config is no class that derives from AgentConfig")
    return config


AGENTS: Final[Registry[BaseAgent]] = Registry(
    "agent", "agents", BaseAgent, "memrl.agents", schema_of=_config_of
)
AGENTS.register("ppo")(PPO)
AGENTS.register("nec")(NECAgent)
AGENTS.register("mfec")(MFECAgent)
AGENTS.register("r2d2")(R2D2)
AGENTS.register("plan")(PlanAgent)


def build(parts: Parts, config: AgentConfig) -> Agent:
    """An agent that has learned nothing yet.

    Raises:
        ValueError: a space that it cannot read or act in, or options that do not fit.
    """
    cls, grow = AGENTS.find(config.kind), limit_of(parts.memory)
    if grow is not None and not cls.grows:
        raise ValueError(
            f"memory.grow={grow} is not read by agent={config.kind} (it is by agent=ppo and by "
            "memrl fit)"
        )
    return cls.build(parts, config)
