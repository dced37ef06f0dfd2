"""POPGym's tasks as tensor environments; tests compare every step with the package."""

from collections.abc import Callable
from typing import Final

from memrl.envs.episodic_env import EpisodicEnv
from memrl.envs.popgym.control_tasks import CONTROL
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS

POPGYM: Final[dict[str, Callable[..., EpisodicEnv]]] = {**CARD_AND_BOARD_TASKS, **CONTROL}

__all__ = ["POPGYM"]
