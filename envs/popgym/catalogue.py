"""POPGym's tasks in the catalogue."""

from __future__ import annotations

from typing import Any

from memrl.envs.catalogue import EnvCard, Levels, observed
from memrl.envs.popgym.control_tasks import CONTROL, control_card
from memrl.envs.popgym.reference import levels
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS


def popgym_card(id: str, *, prev_action: bool = False, **options: Any) -> EnvCard:
    """The card of a task that is built here.

    The levels of cards and boards are known for the package's own options. An agent that is shown
    its previous action can write into it what it wants to remember, so that nothing is claimed of
    being without a memory then.
    """
    if id in CONTROL:
        return control_card(id, **options)
    task = CARD_AND_BOARD_TASKS[id](1, **options)
    known = None
    if not options:
        exact = levels(id)
        memoryless = None if prev_action else exact.memoryless
        known = Levels("return", exact.optimum, memoryless, exact.guess)
    actions = ("higher", "lower") if "HigherLower" in id else ()
    return EnvCard(observed(task.observation_space), "strict", known, actions)


def package_card(id: str) -> EnvCard:
    """The card of a task that only the package has: labyrinths, which it warns need no memory."""
    return EnvCard(memory="not needed" if "Labyrinth" in id else None)
