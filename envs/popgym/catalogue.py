"""POPGym's tasks in the catalogue: what is seen, whether it needs a memory, levels."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from memrl.envs.catalogue import EnvCard, Levels, Need, describe_space
from memrl.envs.popgym.control_tasks import CONTROL, control_card
from memrl.envs.popgym.reference import returns
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS, family

_SUITS: Final = ("spade", "diamond", "club", "heart")
_RANKS: Final = ("ace", *map(str, range(2, 11)), "jack", "queen", "king")


class _Words(NamedTuple):
    """What the numbers of discrete actions and observations mean."""

    actions: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


_WORDS: Final = {
    "RepeatPrevious": _Words(_SUITS, _SUITS),
    "RepeatFirst": _Words(_SUITS, _SUITS),
    "Autoencode": _Words(_SUITS),
    "HigherLower": _Words(("higher", "lower"), _RANKS),
    "Battleship": _Words((), ("no hit", "hit")),
    "MultiarmedBandit": _Words((), ("nothing", "paid")),
}


def popgym_card(id: str, *, prev_action: bool = False, **options: Any) -> EnvCard:
    """The card of a task that is built here; levels are returns.

    With the previous action in the observation an agent can pass on what it once answered: that
    solves RepeatFirst without a memory, and leaves open what is reached without one elsewhere.
    """
    if id in CONTROL:
        return control_card(id, **options)
    name, known = family(id), returns(id, **options)
    memoryless, need = known.memoryless, _need(name)
    if prev_action:
        memoryless = 1.0 if name == "RepeatFirst" else None
        need = "not needed" if name == "RepeatFirst" else need
    return EnvCard(
        observation=describe_space(CARD_AND_BOARD_TASKS[id](1, **options).observation_space),
        memory=need,
        levels=Levels("return", known.optimum, memoryless, known.guess),
        **_WORDS.get(name, _Words())._asdict(),
    )


def package_card(id: str) -> EnvCard:
    """The card of a task that only the package has: labyrinths, which it warns need no memory."""
    return EnvCard(memory="not needed" if "Labyrinth" in id else None)


def _need(name: str) -> Need:
    """In HigherLower the card in view says nearly all; elsewhere what matters was seen before."""
    return "not needed" if name == "HigherLower" else "strict"
