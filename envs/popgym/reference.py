"""Mean returns on POPGym's card and board tasks, exact: guessing, without memory, the best.

Cards are told apart by suit, colour or rank; every position of a shuffled deck is alike, so that
most levels follow from drawing one or two cards. N is the number of cards.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from memrl.envs.episodes import Episodes
from memrl.envs.popgym.autoencode import Autoencode
from memrl.envs.popgym.bandit import MultiarmedBandit
from memrl.envs.popgym.battleship import FLEET, Battleship
from memrl.envs.popgym.cards import RANKS, SUITS
from memrl.envs.popgym.chains import random_battleship, random_concentration, random_minesweeper
from memrl.envs.popgym.concentration import Concentration
from memrl.envs.popgym.count_recall import CountRecall
from memrl.envs.popgym.higher_lower import HigherLower
from memrl.envs.popgym.minesweeper import MineSweeper
from memrl.envs.popgym.repeat import RepeatFirst, RepeatPrevious
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS


class Levels(NamedTuple):
    """Mean returns of an episode; None where no closed form is known."""

    guess: float  # uniformly random actions
    memoryless: float | None  # the best that reads nothing but the observation in hand
    optimum: float | None  # the best that remembers all it saw
    ceiling: float  # whoever knows the deal


@cache
def levels(id: str) -> Levels:
    """The levels of one id of ``CARD_AND_BOARD_TASKS`` (KeyError for others)."""
    env = CARD_AND_BOARD_TASKS[id](1)
    guess = _guess(env)
    match env:
        case RepeatPrevious():
            # The card in view is not the one asked for: another suit is a little more likely.
            right = (env.cards / SUITS) / (env.cards - 1)
            return Levels(guess, 2 * right - 1, 1.0, 1.0)
        case RepeatFirst():
            # The suit in view: certain in the first step, a little less than 1/4 in the others.
            later = (env.cards / SUITS - 1) / (env.cards - 1)
            return Levels(guess, 2 * (1 + (env.length - 1) * later) / env.length - 1, 1.0, 1.0)
        case Autoencode():
            # The suit in view: certain for the card in hand, 1/4 for the others (suit 0 is shown).
            return Levels(guess, 2 * (1 + (env.cards - 1) / SUITS) / env.cards - 1, 1.0, 1.0)
        case CountRecall():
            return Levels(guess, _count_without_memory(env), 1.0, 1.0)
        case HigherLower():
            alike = env.cards / RANKS
            without = (RANKS**2 - 1) / 2 / RANKS  # mean of |higher - lower| ranks over the ranks
            memoryless = without * alike / env.cards
            ties = (alike - 1) / (env.cards - 1)
            ceiling = env.length * (1 - ties) / env.cards
            return Levels(guess, memoryless, counting_cards(env.cards), ceiling)
        case MultiarmedBandit():
            # Knowing the chances: twice the expected largest of K uniform numbers, minus one.
            return Levels(guess, None, None, 2 * env.arms / (env.arms + 1) - 1)
    return Levels(guess, None, None, 1.0)


def _guess(env: Episodes) -> float:
    match env:
        case Concentration():
            return random_concentration(env.cards, env.kinds, env.max_steps)
        case Battleship():
            return random_battleship(env.side**2, sum(FLEET))
        case MineSweeper():
            return random_minesweeper(env.side**2, env.mines)
        case HigherLower() | MultiarmedBandit():
            return 0.0
    return 2 / int(env.action_space.n) - 1  # type: ignore[attr-defined]


def _count_without_memory(env: CountRecall) -> float:
    """The likeliest count where the face in question is that in view, and where it is another."""
    cards, alike = env.length + 1, (env.length + 1) // env.kinds
    before = np.arange(env.length)  # cards dealt before the one in view
    own = _hypergeometric(cards - 1, alike - 1, before).mean(0).max()  # …, and it counts as well
    other = _hypergeometric(cards - 1, alike, before).mean(0).max()
    right = own / env.kinds + other * (1 - 1 / env.kinds)
    return float(2 * right - 1)


@cache
def counting_cards(cards: int, ranks: int = RANKS) -> float:
    """HigherLower for who knows which cards are left: the sign of (higher - lower) is guessed.

    After ``cards - 1 - left`` others, any ``left`` of the cards beside that in view are left. The
    mean of |higher - lower| / left is summed over the rank in view and over ``left``.
    """
    alike, total = cards // ranks, 0.0
    for rank in range(ranks):
        above, below, same = (ranks - 1 - rank) * alike, rank * alike, alike - 1
        higher, lower = np.arange(above + 1)[:, None], np.arange(below + 1)[None, :]
        ways = _log_choose(above)[:, None] + _log_choose(below)[None, :]
        for left in range(1, cards):
            rest = left - higher - lower
            possible = (rest >= 0) & (rest <= same)
            log = ways + _log_choose(same)[np.clip(rest, 0, same)] - _log_choose(cards - 1)[left]
            chance = np.where(possible, np.exp(log), 0)
            total += float((chance * np.abs(higher - lower)).sum()) / left
    return total / ranks / cards


def _hypergeometric(among: int, marked: int, drawn: NDArray[np.int_]) -> NDArray[np.float64]:
    """P(k of the drawn cards are marked), k = 0 … marked: [len(drawn), marked + 1]."""
    hits = np.arange(marked + 1)[None, :]
    misses = drawn[:, None] - hits
    possible = (misses >= 0) & (misses <= among - marked)
    log = (
        _log_choose(marked)[hits] + _log_choose(among - marked)[np.clip(misses, 0, among - marked)]
    )
    log = log - _log_choose(among)[drawn][:, None]
    return np.where(possible, np.exp(log), 0)


@cache
def _log_choose(items: int) -> NDArray[np.float64]:
    """The log of C(items, k) for k = 0 … items."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, items + 1)))])
    return cast("NDArray[np.float64]", logs[-1] - logs - logs[::-1])
