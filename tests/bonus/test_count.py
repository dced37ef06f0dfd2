"""Counts of an episode against a Python counter."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bonuses import context

from memrl.bonus.count import Count

GOING = torch.zeros(1, dtype=torch.bool)


def test_the_nth_sight_is_worth_one_over_the_root_of_n():
    bonus = Count(context(1, keys=("obs",)))
    bonus.begin({"obs": torch.tensor([[7]])})
    other = {"obs": torch.tensor([[8]])}
    paid = torch.cat([bonus.reward(other, GOING) for _ in range(5)])
    torch.testing.assert_close(paid, torch.arange(1, 6).float().rsqrt())


def test_the_first_observation_was_seen_once_when_it_is_met_again():
    bonus = Count(context(1, keys=("obs",)))
    bonus.begin({"obs": torch.tensor([[7]])})
    torch.testing.assert_close(
        bonus.reward({"obs": torch.tensor([[7]])}, GOING), torch.tensor([2.0]).rsqrt()
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_counts_are_those_of_the_episode(seed):
    g = torch.Generator().manual_seed(seed)
    B, T = 3, 29
    bonus = Count(context(B, keys=("obs",)), capacity=26)
    key = torch.randint(0, 5, (B, 2), generator=g, dtype=torch.uint8)
    bonus.begin({"obs": key})
    counts = [Counter([tuple(row.tolist())]) for row in key]
    for _ in range(T):
        key = torch.randint(0, 5, (B, 2), generator=g, dtype=torch.uint8)
        opens = torch.rand(B, generator=g) < 0.2
        paid = bonus.reward({"obs": key}, opens)
        for b in range(B):
            seen = tuple(key[b].tolist())
            counts[b] = Counter([seen]) if opens[b] else counts[b] + Counter([seen])
            want = 0.0 if opens[b] else counts[b][seen] ** -0.5
            assert abs(float(paid[b]) - want) < 1e-6


def test_beyond_capacity_the_oldest_is_counted_anew():
    bonus = Count(context(1, keys=("obs",)), capacity=2)
    keys = torch.arange(4).view(4, 1, 1)
    bonus.begin({"obs": keys[0]})
    bonus.reward({"obs": keys[0]}, GOING)  # twice by now
    bonus.reward({"obs": keys[1]}, GOING)
    bonus.reward({"obs": keys[2]}, GOING)  # pushes out keys[0]
    assert float(bonus.reward({"obs": keys[0]}, GOING)) == 1.0
