"""What is known of each card and board task: what is seen, whether it needs a memory, levels."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from memrl.envs.catalogue import EnvCard, Levels, Need, observed
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


def task_card(id: str, *, prev_action: bool = False, **options: Any) -> EnvCard:
    """The card of an id of ``CARD_AND_BOARD_TASKS``; its levels are returns.

    On the boards, whose curve shows the success, none is known.

    With the previous action in the observation an agent can pass on what it once answered: that
    solves RepeatFirst without a memory, and leaves open what is reached without one elsewhere.
    """
    name, known = family(id), returns(id, **options)
    memoryless, need = known.memoryless, _need(name)
    if prev_action:
        memoryless = 1.0 if name == "RepeatFirst" else None
        need = "not needed" if name == "RepeatFirst" else need
    levels = Levels("return", known.optimum, memoryless, known.guess)
    return EnvCard(
        observation=observed(CARD_AND_BOARD_TASKS[id](1, **options).observation_space),
        memory=need,
        levels=levels if levels.lines() else None,
        **_WORDS.get(name, _Words())._asdict(),
    )


def _need(name: str) -> Need:
    """In HigherLower the card in view says nearly all; elsewhere what matters was seen before."""
    return "not needed" if name == "HigherLower" else "strict"
