"""Agents that learn with a memory core, and what one of your own fulfils."""

if __name__ != "memrl.agents":
    raise ImportError(f"import this package as memrl.agents, not as {__name__}")

from memrl.agents.acting import Actor, ActsWithMemory
from memrl.agents.base import BaseAgent, Parts
from memrl.agents.config import AgentConfig
from memrl.run.agent import Agent

__all__ = ["Actor", "ActsWithMemory", "Agent", "AgentConfig", "BaseAgent", "Parts"]
