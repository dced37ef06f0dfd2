"""Ranks that are threads: what they exchange goes through memory, and one of them can be killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from memrl.errors import RankLost


class Killed(BaseException):
    """The end of a rank that nothing cleans up after."""


class ThreadRanks:
    """Stands in for ``memrl.distributed.collectives``."""

    def __init__(self, ranks: int) -> None:
        self._ranks, self._own = ranks, threading.local()
        self._meeting = threading.Condition()
        self._begin()

    def _begin(self) -> None:
        self._said: list[dict[int, Any]] = []  # of each exchange, by rank
        self._ended = False  # whether a rank is missing

    def rank(self) -> int:
        return getattr(self._own, "rank", 0)

    def ranks(self) -> int:
        return self._ranks

    def of_all_ranks(self, value: Any) -> list[Any]:
        number, self._own.exchanges = self._own.exchanges, self._own.exchanges + 1
        with self._meeting:
            self._said += [{}] * (number == len(self._said))
            said = self._said[number]
            said[self.rank()] = value
            self._meeting.notify_all()
            self._meeting.wait_for(lambda: len(said) == self._ranks or self._ended, timeout=60)
        if len(said) < self._ranks:
            raise RankLost(self.rank())
        return [said[rank] for rank in range(self._ranks)]

    def from_rank_0(self, value: Any) -> Any:
        return self.of_all_ranks(value)[0]

    def stand_in(self, monkeypatch: Any, module: Any) -> ThreadRanks:
        """Let a module exchange by threads from now on."""
        for name in ("rank", "ranks", "of_all_ranks", "from_rank_0"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(self, name))
        return self

    def run(self, function: Callable[[int], Any]) -> list[Any]:
        """What each rank returns, or the exception that ends it."""
        results: list[Any] = [None] * self._ranks

        def live(rank: int) -> None:
            self._own.rank, self._own.exchanges = rank, 0
            try:
                results[rank] = function(rank)
            except BaseException as error:
                results[rank] = error
                with self._meeting:
                    self._ended = True
                    self._meeting.notify_all()

        self._begin()
        threads = [threading.Thread(target=live, args=(rank,)) for rank in range(self._ranks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
