"""Mean returns on POPGym's card and board tasks, exact: at random, without memory, the best.

Every position of a shuffled deck is alike, so that most levels follow from one or two cards.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

from gymnasium import spaces

from memrl.envs.popgym.autoencode import Autoencode
from memrl.envs.popgym.bandit import MultiarmedBandit
from memrl.envs.popgym.battleship import FLEET, Battleship
from memrl.envs.popgym.cards import RANKS, SUITS
from memrl.envs.popgym.concentration import Concentration
from memrl.envs.popgym.count_recall import CountRecall
from memrl.envs.popgym.higher_lower import HigherLower
from memrl.envs.popgym.minesweeper import MineSweeper
from memrl.envs.popgym.odds import count_chances, counting_cards
from memrl.envs.popgym.random_returns import (
    random_battleship,
    random_concentration,
    random_minesweeper,
)
from memrl.envs.popgym.repeat import RepeatFirst, RepeatPrevious
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS


class Returns(NamedTuple):
    """Mean returns of an episode; None where no closed form is known."""

    guess: float  # the best that reads nothing at all; on the boards, random actions
    memoryless: float | None  # the best that reads nothing but the observation in hand
    optimum: float | None  # the best that remembers all it saw
    ceiling: float  # whoever knows the deal


@cache
def returns(id: str, **options: int) -> Returns:
    """The levels of one id of ``CARD_AND_BOARD_TASKS`` (KeyError for others) under its options."""
    env = CARD_AND_BOARD_TASKS[id](1, **options)
    match env:
        case RepeatPrevious() | RepeatFirst() | Autoencode():
            return Returns(_mean_return(1 / SUITS), _mean_return(_suits_in_view(env)), 1.0, 1.0)
        case CountRecall():
            blind, seeing = count_chances(env.length + 1, env.kinds)
            return Returns(_mean_return(blind), _mean_return(seeing), 1.0, 1.0)
        case HigherLower():
            return _higher_lower(env.cards)
        case MultiarmedBandit():
            # Knowing the chances: the largest of K uniform numbers is K / (K + 1) on average.
            return Returns(0.0, None, None, _mean_return(env.arms / (env.arms + 1)))
    return Returns(random_return(id, **options), None, None, 1.0)


def random_return(id: str, **options: int) -> float:
    """The mean return of uniformly random actions."""
    env = CARD_AND_BOARD_TASKS[id](1, **options)
    match env:
        case Concentration():
            return random_concentration(env.cards, env.kinds, env.max_steps)
        case Battleship():
            return random_battleship(env.side**2, sum(FLEET))
        case MineSweeper():
            return random_minesweeper(env.side**2, env.mines)
        case HigherLower() | MultiarmedBandit():
            return 0.0
    answers = cast("spaces.Discrete", env.action_space)
    return _mean_return(1 / int(answers.n))


def _mean_return(right: float) -> float:
    """The return where steps pay or cost the same, and a fraction of them is right."""
    return 2 * right - 1


def _suits_in_view(env: RepeatPrevious | RepeatFirst | Autoencode) -> float:
    """How many answers are right by the suit in view, at best."""
    same = (env.cards / SUITS - 1) / (env.cards - 1)  # another card has this very suit
    match env:
        case RepeatPrevious(lookback=0):
            return 1.0
        case RepeatPrevious():  # any other suit
            return (1 - same) / (SUITS - 1)
        case RepeatFirst():  # this suit: certain in the first step
            return (1 + (env.length - 1) * same) / env.length
    # Autoencode: this suit, certain for the card in hand; later 0 is shown, as good as another.
    return (1 + (env.cards - 1) / SUITS) / env.cards


def _higher_lower(cards: int) -> Returns:
    """Without memory: the side with more ranks; of N cards, N / 13 have each rank."""
    alike = cards / RANKS
    more = (RANKS**2 - 1) / (2 * RANKS)  # |higher - lower| ranks, averaged over the rank in view
    ties = (alike - 1) / (cards - 1)
    ceiling = (1 - ties) * (cards - 1) / cards
    return Returns(0.0, more * alike / cards, counting_cards(cards), ceiling)
