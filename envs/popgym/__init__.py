"""POPGym's tasks for thousands of copies at once, each compared with the package step by step."""

from collections.abc import Callable
from typing import Final

from memrl.envs.episodes import Episodes
from memrl.envs.popgym.control_tasks import CONTROL
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS

POPGYM: Final[dict[str, Callable[..., Episodes]]] = {**CARD_AND_BOARD_TASKS, **CONTROL}

__all__ = ["POPGYM"]
