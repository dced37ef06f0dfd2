"""Stable-Baselines3's interface to memrl's memories, chunks and losses."""

from memrl.agents.sb3.algorithm import MemoryPPO
from memrl.agents.sb3.evaluation import EvalCallback, evaluate_policy
from memrl.agents.sb3.policy import MemoryPolicy

__all__ = ["EvalCallback", "MemoryPPO", "MemoryPolicy", "evaluate_policy"]
