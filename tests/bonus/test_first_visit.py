"""First visits against a Python set."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bonuses import context

from memrl.bonus.first_visit import FirstVisit


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_new_means_not_yet_in_the_episodes_set(seed):
    g = torch.Generator().manual_seed(seed)
    B, T = 3, 29
    bonus = FirstVisit(context(B, keys=("obs",)), capacity=64)
    key = torch.randint(0, 5, (B, 2), generator=g, dtype=torch.uint8)
    bonus.begin({"obs": key})
    sets = [{tuple(row.tolist())} for row in key]
    for _ in range(T):
        key = torch.randint(0, 5, (B, 2), generator=g, dtype=torch.uint8)
        ended = torch.rand(B, generator=g) < 0.2
        got = bonus.reward({"obs": key}, ended)
        for b in range(B):
            seen = tuple(key[b].tolist())
            assert bool(got[b]) == (not ended[b] and seen not in sets[b])
            sets[b] = {seen} if ended[b] else sets[b] | {seen}


def test_beyond_capacity_the_oldest_are_new_again():
    bonus = FirstVisit(context(1, keys=("obs",)), capacity=3)
    keys = torch.arange(5, dtype=torch.uint8).view(5, 1, 1)
    bonus.begin({"obs": keys[0]})
    going = torch.zeros(1, dtype=torch.bool)
    assert [bool(bonus.reward({"obs": k}, going)) for k in (keys[1], keys[2], keys[3])] == [
        True
    ] * 3
    assert not bonus.reward({"obs": keys[3]}, going)
    assert bonus.reward({"obs": keys[0]}, going)  # pushed out by keys[3]


def test_an_all_zero_observation_is_not_known_before_it_is_seen():
    bonus = FirstVisit(context(1, keys=("obs",)))
    bonus.begin({"obs": torch.ones(1, 7, dtype=torch.uint8)})
    assert bonus.reward(
        {"obs": torch.zeros(1, 7, dtype=torch.uint8)}, torch.zeros(1, dtype=torch.bool)
    )


def test_a_resumed_set_goes_on():
    a, b = (FirstVisit(context(2, keys=("obs",)), capacity=5) for _ in "ab")
    a.begin({"obs": torch.tensor([[1], [2]])})
    b.load_state_dict(a.state_dict())
    going = torch.zeros(2, dtype=torch.bool)
    assert b.reward({"obs": torch.tensor([[1], [1]])}, going).tolist() == [False, True]
