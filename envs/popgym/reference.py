"""Exact mean returns on POPGym's card and board tasks: random, memoryless and optimal policies.

All positions of a shuffled deck are equally distributed, so most levels follow from one or two
cards.
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
    """Mean returns of episodes; None where no closed form is known."""

    guess: float  # best policy without observations; on the boards, random actions
    memoryless: float | None  # best policy that sees the current observation only
    optimum: float | None  # best policy that remembers all observations
    ceiling: float  # best policy that knows the setup
    timed: float | None = None  # best policy that sees the current observation and the time


@cache
def returns(id: str, **options: int) -> Returns:
    """The returns of an id of ``CARD_AND_BOARD_TASKS`` (KeyError for others) under its options."""
    env = CARD_AND_BOARD_TASKS[id](1, **options)
    match env:
        case RepeatPrevious() | RepeatFirst() | Autoencode():
            return Returns(_mean_return(1 / SUITS), _mean_return(_suits_in_view(env)), 1.0, 1.0)
        case CountRecall():
            chances = count_chances(env.length + 1, env.kinds)
            blind, seeing, timed = (_mean_return(right) for right in chances)
            return Returns(blind, seeing, 1.0, 1.0, timed)
        case HigherLower():
            return _higher_lower(env.cards)
        case MultiarmedBandit():
            # Ceiling: the mean of the largest of K uniform numbers is K / (K + 1).
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
    """The mean return if a right step pays as much as a wrong one costs."""
    return 2 * right - 1


def _suits_in_view(env: RepeatPrevious | RepeatFirst | Autoencode) -> float:
    """The largest fraction of right answers of a policy that sees the current suit only."""
    same = (env.cards / SUITS - 1) / (env.cards - 1)  # P(another card has the same suit)
    match env:
        case RepeatPrevious(lookback=0):
            return 1.0
        case RepeatPrevious():  # name any other suit
            return (1 - same) / (SUITS - 1)
        case RepeatFirst():  # name this suit: right in the first step
            return (1 + (env.length - 1) * same) / env.length
    # Autoencode: this suit, right for the last card; afterwards 0, which is as good as any.
    return (1 + (env.cards - 1) / SUITS) / env.cards


def _higher_lower(cards: int) -> Returns:
    """The memoryless policy guesses the side with more ranks; each rank has N / 13 of N cards."""
    alike = cards / RANKS
    more = (RANKS**2 - 1) / (2 * RANKS)  # |higher - lower| ranks, averaged over the current rank
    ties = (alike - 1) / (cards - 1)
    ceiling = (1 - ties) * (cards - 1) / cards
    return Returns(0.0, more * alike / cards, counting_cards(cards), ceiling)
