"""Chances of drawing cards without putting them back, and what knowing them earns; exact."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from memrl.envs.popgym.cards import RANKS


class Counting(NamedTuple):
    """The chance to name the right count in CountRecall by always saying the likeliest one."""

    unseen: float  # of all counts
    seen: float  # of those that agree with the observation in hand


def count_chances(cards: int, kinds: int) -> Counting:
    """For a deck of ``cards`` with ``kinds`` faces, the last card never being asked about.

    The face in question is that in view once in ``kinds`` times, and then counts once more.
    """
    alike = cards // kinds
    before = np.arange(cards - 1)  # cards dealt before the one in view, all equally often
    own = hypergeometric(cards - 1, alike - 1, before).mean(0) / kinds  # count 1 … alike
    other = hypergeometric(cards - 1, alike, before).mean(0) * (1 - 1 / kinds)  # 0 … alike
    either = other + np.concatenate([[0.0], own])
    return Counting(float(either.max()), float(own.max() + other.max()))


@cache
def counting_cards(cards: int, ranks: int = RANKS) -> float:
    """The mean return in HigherLower of who knows which cards are left, and guesses accordingly.

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
