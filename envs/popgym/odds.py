"""Exact probabilities of drawing cards without replacement, and returns that follow from them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from memrl.envs.popgym.cards import RANKS


class CountChances(NamedTuple):
    """The probability that the most likely count in CountRecall is right."""

    unseen: float  # without any observation
    seen: float  # given the current observation
    timed: float  # given, besides, how many cards have been dealt


def count_chances(cards: int, kinds: int) -> CountChances:
    """The probabilities for a deck of ``cards`` with ``kinds`` faces; the last card is not asked.

    The two faces of an observation are equal with probability 1 / ``kinds``; the count is then one
    higher.
    """
    alike = cards // kinds
    before = np.arange(cards - 1)  # cards dealt before the current one, all equally likely
    own = hypergeometric(cards - 1, alike - 1, before) / kinds  # [cards - 1, count 1 … alike]
    other = hypergeometric(cards - 1, alike, before) * (1 - 1 / kinds)  # 0 … alike
    timed = (own.max(1) + other.max(1)).mean()
    own, other = own.mean(0), other.mean(0)
    either = other + np.concatenate([[0.0], own])
    return CountChances(float(either.max()), float(own.max() + other.max()), float(timed))


@cache
def counting_cards(cards: int, ranks: int = RANKS) -> float:
    """The mean return in HigherLower of an agent that counts the cards that are left.

    When ``left`` cards are left, they are any ``left`` of the cards except the current one. The
    mean of |higher - lower| / left is summed over the current rank and over ``left``.
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


def hypergeometric(among: int, marked: int, drawn: NDArray[np.int_]) -> NDArray[np.float64]:
    """P(k of the drawn cards are marked), k = 0 … ``marked``: [len(drawn), marked + 1]."""
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
