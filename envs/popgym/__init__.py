"""POPGym's tasks for thousands of copies at once, each compared with the package step by step."""

from collections.abc import Callable
from typing import Final

from memrl.envs.episodes import Episodes
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS

POPGYM: Final[dict[str, Callable[..., Episodes]]] = {**CARD_AND_BOARD_TASKS}

__all__ = ["POPGYM"]
