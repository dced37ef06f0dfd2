"""MiniGrid in tensors: a general grid engine and the families built on it."""

from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.memory import MEMORY_IDS, MemoryEnv
from memrl.envs.minigrid.render import render_view

__all__ = ["MEMORY_IDS", "GridEngine", "GridState", "MemoryEnv", "render_view"]
