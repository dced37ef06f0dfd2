"""Ranks of one attempt agree on a name, whatever earlier ranks have left in the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from memrl.distributed.meeting import agreed_name

SHORT, LIMIT = timedelta(milliseconds=200), timedelta(seconds=20)


def meet(store, ranks, first=()):
    """The names that ranks get; those in ``first`` come before the others."""
    with ThreadPoolExecutor(ranks) as pool:
        began = [
            pool.submit(agreed_name, store, rank, ranks, LIMIT)
            for rank in [*first, *(rank for rank in range(ranks) if rank not in first)]
        ]
        return {each.result() for each in began}


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_all_ranks_get_one_name(ranks):
    assert len(meet(dist.HashStore(), ranks)) == 1


@pytest.mark.parametrize("first", [(), (2, 1)])
def test_an_attempt_after_another_has_a_name_of_its_own(first):
    store = dist.HashStore()
    names = [meet(store, 3, first) for _ in range(3)]
    assert len(set.union(*names)) == 3


def test_a_call_that_a_dead_rank_0_left_is_passed_over():
    store = dist.HashStore()
    with pytest.raises(RuntimeError):
        agreed_name(store, 0, 3, SHORT)  # the others never came
    left = store.get("memrl/call").decode()
    (name,) = meet(store, 3, first=(1, 2))
    assert name != left


def test_an_answer_of_a_dead_rank_lets_nobody_go():
    store = dist.HashStore()
    store.set("memrl/call", "old")
    with pytest.raises(RuntimeError, match="did not let rank 1 go on"):
        agreed_name(store, 1, 2, SHORT)  # it answered, and ended
    store.set("memrl/go/old", store.get("memrl/answer/old/1"))  # too late
    (name,) = meet(store, 2, first=(1,))
    assert name != "old"
