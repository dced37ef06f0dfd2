"""POPGym's tasks on tensors, under the ids and with the quirks of popgym 1.0.7."""

from collections.abc import Callable
from typing import Any, Final

from memrl.envs.catalogue import EnvCard
from memrl.envs.episodes import Episodes
from memrl.envs.popgym.control_tasks import CONTROL, control_card
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS
from memrl.envs.popgym.tasks_card import task_card

POPGYM: Final[dict[str, Callable[..., Episodes]]] = {**CARD_AND_BOARD_TASKS, **CONTROL}


def popgym_card(id: str, **options: Any) -> EnvCard:
    """The card of an id of ``POPGYM``; ``options`` are those of `make`."""
    return (control_card if id in CONTROL else task_card)(id, **options)


__all__ = ["POPGYM", "popgym_card"]
