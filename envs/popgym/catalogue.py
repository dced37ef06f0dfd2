"""Cards of POPGym's tasks: observation, whether it needs a memory, and reference levels."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from memrl.envs.catalogue import EnvCard, Levels, Need, describe_space
from memrl.envs.popgym.control_tasks import CONTROL, control_card
from memrl.envs.popgym.reference import returns
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS, family

_SUITS: Final = ("spade", "diamond", "club", "heart")
_RANKS: Final = ("ace", *map(str, range(2, 11)), "jack", "queen", "king")


class _Names(NamedTuple):
    """Names of the values of discrete actions and observations."""

    actions: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


_NAMES: Final = {
    "RepeatPrevious": _Names(_SUITS, _SUITS),
    "RepeatFirst": _Names(_SUITS, _SUITS),
    "Autoencode": _Names(_SUITS),
    "HigherLower": _Names(("higher", "lower"), _RANKS),
    "Battleship": _Names((), ("no hit", "hit")),
    "MultiarmedBandit": _Names((), ("nothing", "paid")),
}


def popgym_card(id: str, *, prev_action: bool = False, **options: Any) -> EnvCard:
    """The card of a tensor environment; levels are returns.

    With ``prev_action`` an agent can store information in its action. This solves RepeatFirst
    without a memory; for the other tasks the levels without a memory are then unknown.
    """
    if id in CONTROL:
        return control_card(id, **options)
    name, known = family(id), returns(id, **options)
    memoryless, timed, need = known.memoryless, known.timed, _need(name)
    if prev_action:
        timed = None
        memoryless = 1.0 if name == "RepeatFirst" else None
        need = "not needed" if name == "RepeatFirst" else need
    return EnvCard(
        observation=describe_space(CARD_AND_BOARD_TASKS[id](1, **options).observation_space),
        memory=need,
        levels=Levels("return", known.optimum, memoryless, known.guess, timed),
        **_NAMES.get(name, _Names())._asdict(),
    )


def package_card(id: str) -> EnvCard:
    """The card of a task without tensors: labyrinths need no memory, as the package warns."""
    return EnvCard(memory="not needed" if "Labyrinth" in id else None)


def _need(name: str) -> Need:
    """HigherLower hardly needs a memory; all other tasks depend on earlier observations."""
    return "not needed" if name == "HigherLower" else "strict"
