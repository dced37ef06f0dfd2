"""Exact mean returns of uniformly random policies on the board tasks, from small Markov chains."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple


class _Table(NamedTuple):
    """The state of Concentration that decides the rewards of a random policy."""

    down: tuple[int, ...]  # sorted: number of face-down cards of each kind
    waiting: int | None  # number of face-down cards of the first card's kind, itself included


def random_battleship(cells: int, ships: int) -> float:
    """The mean return of at most ``cells`` random shots, until all ``ships`` cells are hit."""
    chance, total = {0: 1.0}, 0.0
    for _ in range(cells):
        then: dict[int, float] = defaultdict(float)
        for hits, p in chance.items():
            hit = (ships - hits) / cells
            total += p * (hit / ships - (1 - hit) / (cells - ships))
            then[hits + 1] += p * hit
            then[hits] += p * (1 - hit)
        then.pop(ships, None)
        chance = then
    return total


def random_minesweeper(cells: int, mines: int) -> float:
    """The mean return of random cells until a mine, the last free cell, or the time limit."""
    free = cells - mines
    chance, total = {0: 1.0}, 0.0
    for _ in range(free):
        then: dict[int, float] = defaultdict(float)
        for opened, p in chance.items():
            mine, again = mines / cells, opened / cells
            new = 1 - mine - again
            total += p * (mine * (-0.5 - 1 / free) + again * -0.5 / (free - 2) + new / free)
            then[opened] += p * again
            then[opened + 1] += p * new
        then.pop(free, None)
        chance = then
    return total


def random_concentration(cards: int, kinds: int, steps: int) -> float:
    """The mean return of random cards until all are found, or the time limit."""
    start = _Table((cards // kinds,) * kinds, None)
    chance, total = {start: 1.0}, 0.0
    for _ in range(steps):
        then: dict[_Table, float] = defaultdict(float)
        for table, p in chance.items():
            for after, q, reward in _turns(table, cards, steps):
                total += p * q * reward
                if any(after.down):
                    then[after] += p * q
        chance = then
    return total


def _turns(table: _Table, cards: int, steps: int) -> list[tuple[_Table, float, float]]:
    """The results of one random card: (table, probability, reward)."""
    down, waiting = table
    face_down = _Table(down, None)
    if waiting is None:
        first = [(_Table(down, n), n / cards, 0.0) for n in down if n]
        return [*first, (face_down, 1 - sum(down) / cards, -1 / steps)]
    pair = (waiting - 1) / cards
    rest = list(down)
    rest.remove(waiting)
    found = _Table(tuple(sorted([*rest, waiting - 2])), None) if waiting > 1 else face_down
    return [(found, pair, 2 / cards), (face_down, 1 - pair, -2 / steps)]
