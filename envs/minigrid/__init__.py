"""MiniGrid as tensor environments: a grid engine and the tasks that run on it."""

from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.families import GRID_IDS
from memrl.envs.minigrid.grid_env import GridEnv
from memrl.envs.minigrid.memory import MemoryEnv
from memrl.envs.minigrid.memory_task import MEMORY_IDS
from memrl.envs.minigrid.render import render_view

__all__ = [
    "GRID_IDS",
    "MEMORY_IDS",
    "GridEngine",
    "GridEnv",
    "GridState",
    "MemoryEnv",
    "render_view",
]
