"""POPGym's card and board tasks by the ids of the package."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from memrl.envs.episodic_env import EpisodicEnv
from memrl.envs.popgym.autoencode import Autoencode
from memrl.envs.popgym.bandit import MultiarmedBandit
from memrl.envs.popgym.battleship import Battleship
from memrl.envs.popgym.concentration import Concentration
from memrl.envs.popgym.count_recall import CountRecall
from memrl.envs.popgym.higher_lower import HigherLower
from memrl.envs.popgym.minesweeper import MineSweeper
from memrl.envs.popgym.repeat import RepeatFirst, RepeatPrevious

DIFFICULTIES: Final = ("Easy", "Medium", "Hard")

Options: TypeAlias = dict[str, int]

_TASKS: Final[dict[str, tuple[Callable[..., EpisodicEnv], Options, Options, Options]]] = {
    "RepeatPrevious": (
        RepeatPrevious,
        {"decks": 1, "lookback": 3},  # POPGym's k - 1
        {"decks": 2, "lookback": 31},
        {"decks": 3, "lookback": 63},
    ),
    "RepeatFirst": (RepeatFirst, {"decks": 1}, {"decks": 8}, {"decks": 16}),
    "Autoencode": (Autoencode, {"decks": 1}, {"decks": 2}, {"decks": 3}),
    "CountRecall": (
        CountRecall,
        {"decks": 1, "kinds": 2},
        {"decks": 2, "kinds": 4},
        {"decks": 4, "kinds": 13},
    ),
    "HigherLower": (HigherLower, {"decks": 1}, {"decks": 2}, {"decks": 3}),
    "Concentration": (
        Concentration,
        {"decks": 1, "kinds": 2},
        {"decks": 2, "kinds": 2},
        {"decks": 1, "kinds": 13},
    ),
    "Battleship": (Battleship, {"side": 8}, {"side": 10}, {"side": 12}),
    "MineSweeper": (
        MineSweeper,
        {"side": 4, "mines": 2},
        {"side": 6, "mines": 6},
        {"side": 8, "mines": 10},
    ),
    "MultiarmedBandit": (
        MultiarmedBandit,
        {"arms": 10, "length": 200},
        {"arms": 20, "length": 400},
        {"arms": 30, "length": 600},
    ),
}

# Observations of these tasks depend on the previous action but do not show it.
HIDES_ACTION: Final = ("Concentration", "Battleship", "MineSweeper", "MultiarmedBandit")

_FAMILY: Final = {
    f"popgym-{name}{difficulty}-v0": name for name in _TASKS for difficulty in DIFFICULTIES
}

CARD_AND_BOARD_TASKS: Final[dict[str, Callable[..., EpisodicEnv]]] = {
    f"popgym-{name}{difficulty}-v0": partial(task, **options)
    for name, (task, *versions) in _TASKS.items()
    for difficulty, options in zip(DIFFICULTIES, versions, strict=True)
}


def family(id: str) -> str:
    """The task of an id, without difficulty: ``popgym-RepeatFirstEasy-v0`` is ``RepeatFirst``."""
    return _FAMILY[id]
