"""Agents that learn with a memory core, and the base classes for agents of your own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "memrl.agents":
    raise ImportError(f"import this package as memrl.agents, not as {__name__}")

if TYPE_CHECKING:
    from memrl.agents.acting import Actor as Actor
    from memrl.agents.acting import ActsWithMemory as ActsWithMemory
    from memrl.agents.base import BaseAgent as BaseAgent
    from memrl.agents.base import Parts as Parts
    from memrl.agents.config import AgentConfig as AgentConfig
    from memrl.agents.episodic.agent import EpisodicControl as EpisodicControl
    from memrl.agents.planning.agent import PlanAgent as PlanAgent
    from memrl.agents.planning.config import PlanConfig as PlanConfig
    from memrl.agents.ppo.agent import PPO as PPO
    from memrl.agents.ppo.config import PPOConfig as PPOConfig
    from memrl.agents.r2d2.agent import R2D2 as R2D2
    from memrl.agents.r2d2.config import R2D2Config as R2D2Config
    from memrl.run.agent import Agent as Agent
    from memrl.run.agent import Learner as Learner

# Imported on first use: reading one agent's config does not import the other agents.
_HOME = {
    "PPO": "memrl.agents.ppo.agent",
    "R2D2": "memrl.agents.r2d2.agent",
    "Actor": "memrl.agents.acting",
    "ActsWithMemory": "memrl.agents.acting",
    "Agent": "memrl.run.agent",
    "AgentConfig": "memrl.agents.config",
    "BaseAgent": "memrl.agents.base",
    "EpisodicControl": "memrl.agents.episodic.agent",
    "Learner": "memrl.run.agent",
    "PPOConfig": "memrl.agents.ppo.config",
    "Parts": "memrl.agents.base",
    "PlanAgent": "memrl.agents.planning.agent",
    "PlanConfig": "memrl.agents.planning.config",
    "R2D2Config": "memrl.agents.r2d2.config",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'memrl.agents' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
