"""A store that ranks share: candidates are merged, saved shares are dealt out anew."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed

from memrl.memory.stores.dnd import Dictionaries, towards
from memrl.memory.stores.entries import ARRAYS, SPLIT, Entries
from memrl.memory.stores.search import merged, nearest
from memrl.memory.stores.share import Share
from tests.support.ranks import on_ranks

A, W = 3, 2


@given(
    scores=st.lists(st.integers(0, 4), min_size=1, max_size=13),
    ranks=st.integers(1, 5),
    k=st.integers(1, 13),
)
@settings(deadline=None)
def test_what_is_merged_is_what_one_search_finds_ties_too(scores, ranks, k):
    k, held = min(k, len(scores)), torch.arange(len(scores))
    best, slots = [], []
    for rank in range(ranks):
        mine = held[Share(rank, ranks).holds(held)]
        best.append(torch.tensor(scores, dtype=torch.float64)[mine])
        slots.append(mine)
    got = merged(torch.cat(best), torch.cat(slots), k)
    want = sorted(range(len(scores)), key=lambda slot: (-scores[slot], slot))[:k]
    assert got.slot.tolist() == want
    assert got.score.tolist() == [scores[slot] for slot in want]


def test_where_ranks_have_found_too_few_nothing_is_found():
    score, slot = torch.tensor([[-math.inf, 3.0, -math.inf]]), torch.tensor([[0, 5, 0]])
    near = merged(score, slot, 2)
    assert near.found.tolist() == [[True, False]]
    assert near.slot[0, 0] == 5


def test_parts_of_keys_searched_apart_are_the_keys_searched_together():
    queries, keys = (
        torch.randint(3, (2, A, 5, W)).double(),
        torch.randint(3, (2, A, 11, W)).double(),
    )
    queries, keys = queries[0], keys[1]
    parts = [nearest(queries, keys[:, rank::2], 5, metric="l2") for rank in range(2)]
    slots = [part.slot * 2 + rank for rank, part in enumerate(parts)]
    got = merged(torch.cat([part.score for part in parts], -1), torch.cat(slots, -1), 5)
    want = nearest(queries, keys, 5, metric="l2")
    assert torch.equal(got.slot, want.slot)
    assert torch.equal(got.score, want.score)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_every_slot_lies_at_one_rank(ranks):
    shares, slots = [Share(rank, ranks) for rank in range(ranks)], torch.arange(5)
    assert torch.equal(sum(share.holds(slots).long() for share in shares), torch.ones(5).long())
    for share in shares:
        assert share.slots(5).tolist() == slots[share.holds(slots)].tolist()
        assert share.size(5) == len(share.slots(5))
        assert share.size(torch.tensor([0, 5])).tolist() == [0, share.size(5)]


def test_a_rank_that_is_not_there_has_no_share():
    with pytest.raises(ValueError, match="share 2 of 2; allowed: 0 … 1"):
        Share(2, 2)


def entries(rank=0, ranks=1, capacity=13, width=W):
    """The same entries, or a rank's share of them."""
    own = Entries(A, width, capacity=capacity, device="cpu", share=Share(rank, ranks))
    draw = torch.Generator().manual_seed(7)
    for n in (5, 17, 11):
        which = torch.randint(A, (n,), generator=draw)
        own.now += 1
        slot, _ = own.make_room(which)
        own.enter(which, slot, torch.randn(n, width, generator=draw))
    return own


@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 3), (2, 3), (3, 2), (5, 17)])
def test_shares_are_dealt_out_anew_to_another_number_of_ranks(before, now):
    states = [entries(rank, before).state_dict() for rank in range(before)]
    for rank in range(now):
        own = Entries(A, W, capacity=13, device="cpu", share=Share(rank, now))
        own.load_shares(reversed(states))
        want = entries(rank, now)
        assert (own.held, own.now, own.room) == (want.held, want.now, want.room)
        for name, array in own.arrays().items():
            assert torch.equal(array, want.arrays()[name]), name


def test_a_share_is_a_part_of_the_whole():
    whole, parts = entries(), [entries(rank, 2) for rank in range(2)]
    for name in SPLIT:
        for rank, part in enumerate(parts):
            assert torch.equal(part.arrays()[name], whole.arrays()[name][:, rank::2])
    for part in parts:
        assert torch.equal(part.clock, whole.clock)


def test_a_store_of_one_process_is_saved_as_ever():
    assert set(entries().state_dict()) == {"held", "room", "now", *ARRAYS}


def test_anothers_share_is_refused_with_the_remedy():
    state = entries(1, 2).state_dict()
    with pytest.raises(ValueError, match="share 1 of 2, allowed: share 0 of 1; load_shares"):
        entries().load_state_dict(state)


def test_a_share_that_is_missing_is_told_and_nothing_changes():
    own = Dictionaries(A, W, capacity=13, rule=towards(0.1), tolerance=1e-3)
    own.write(torch.tensor([0]), torch.ones(1, W), torch.ones(1))
    with pytest.raises(ValueError, match=r"lack shares: \[1\]"):
        own.load_shares([entries(0, 2).state_dict()])
    assert own.entries.held == [1, 0, 0]


def store(share=None, find="exact", capacity=17):
    return Dictionaries(
        A, W, capacity=capacity, rule=towards(0.1), tolerance=1e-3, find=find, share=share
    )


def batches(ranks, turn):
    """For each rank the queries, actions, keys and targets of a turn; ranks have different sizes.

    Keys are whole numbers, so that many are equally near, and all distances are exact.
    """
    draw, made = torch.Generator().manual_seed(turn), []
    for rank in range(ranks):
        n = 3 + 4 * rank + turn % 3
        made.append(
            (
                torch.randint(5, (A, n, W), generator=draw).double(),
                torch.randint(A, (n,), generator=draw),
                torch.randint(6, (n, W), generator=draw).double(),
                torch.randn(n, generator=draw, dtype=torch.float64),
            )
        )
    return made


def turn_of(own, last, queries, action, keys, targets):
    """One round of all that a store can do; what it answered. Keys are learned in the last one."""
    said = []
    if not own.empty:
        said += own.near(queries, 4)
        near = own.near_of(keys, action, 3)
        said += near
        own.descend(near, last * near.keys, near.values + 2, lr=0.25, decay=0.5)
    return said, own.write(action, keys, targets)


def all_that_a_store_can_do(folder):
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    torch.set_default_dtype(torch.float64)
    own, one = store(Share(rank, ranks)), store()
    for turn in range(9):
        made = batches(ranks, turn)
        queries, *others = zip(*made, strict=True)
        joint = torch.cat(queries, dim=1), *map(torch.cat, others)
        mine, wrote = turn_of(own, turn == 8, *made[rank])
        want, written = turn_of(one, turn == 8, *joint)
        begin = sum(len(part[1]) for part in made[:rank])
        rows = slice(begin, begin + len(made[rank][1]))
        assert wrote == written
        for i, (got, answer) in enumerate(zip(mine, want, strict=True)):
            assert torch.equal(got, answer[:, rows] if i < 4 else answer[rows]), (turn, i)
    assert min(one.entries.held) > 0
    assert max(one.entries.held) == 17  # some were replaced
    assert own.entries.share.received > 0
    torch.save(own.state_dict(), folder / f"{rank}-of-{ranks}.pt")
    whole = store()
    distributed.barrier()
    whole.load_shares(torch.load(folder / f"{r}-of-{ranks}.pt") for r in range(ranks))
    for name, array in whole.entries.arrays().items():
        assert torch.equal(array, one.entries.arrays()[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_store_of_several_ranks_answers_and_learns_as_one(tmp_path, ranks):
    on_ranks(all_that_a_store_can_do, tmp_path, ranks=ranks)


def more_ranks_than_entries():
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    torch.set_default_dtype(torch.float64)
    own = store(Share(rank, ranks), capacity=2)
    own.write(torch.tensor([1]), torch.full((1, W), float(rank)), torch.tensor([float(rank)]))
    assert own.entries.held == [0, 2, 0]
    near = own.near(torch.full((A, 1, W), 9.0), 5)
    assert near.found[:, 0].tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert near.values[1, 0].tolist() == [2.0, 1.0]  # the last two of three writes


@pytest.mark.slow
def test_ranks_without_an_entry_take_part():
    on_ranks(more_ranks_than_entries, ranks=3)


def with_an_index():
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    own, exact = store(Share(rank, ranks), "ivf", 400), store(capacity=400)
    for turn in range(3):
        made = batches(ranks, turn)
        for part in made:
            _, action, keys, targets = (x.float() if x.is_floating_point() else x for x in part)
            keys = keys + torch.randn(keys.shape, generator=torch.Generator().manual_seed(turn))
            exact.write(action, keys, targets)
            none = slice(0, len(action) if rank == 0 else 0)
            own.write(action[none], keys[none], targets[none])
    queries = torch.randn(A, 5, W, generator=torch.Generator().manual_seed(rank))
    assert torch.equal(own.near(queries, 3).place, exact.near(queries, 3).place)


@pytest.mark.slow
def test_each_rank_indexes_what_it_holds():
    pytest.importorskip("faiss")
    on_ranks(with_an_index)
