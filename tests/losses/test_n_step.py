"""Returns of the next n steps against plain loops, with ends of episodes anywhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.losses.n_step import n_step_returns

GAMMA = 0.7


def by_hand(reward, ended, t, b, n):
    """The sum of one step, and whether its episode goes on."""
    total = 0.0
    for j in range(n):
        if t + j == len(reward):
            return total, True
        total += GAMMA**j * reward[t + j][b]
        if ended[t + j][b]:
            return total, False
    return total, True


@given(
    ends=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=11),
    n=st.integers(1, 13),
)
@settings(max_examples=30, deadline=None)
def test_returns_are_those_of_the_definition(ends, n):
    ended = torch.tensor(ends)
    reward = torch.randn(len(ends), 3, dtype=torch.float64)
    ahead = n_step_returns(reward, ended, n, gamma=GAMMA)
    for t in range(len(ends)):
        for b in range(3):
            total, goes_on = by_hand(reward.tolist(), ends, t, b, n)
            assert ahead.returns[t, b].item() == pytest.approx(total, abs=1e-12)
            assert ahead.goes_on[t, b].item() == goes_on


def test_the_steps_own_reward_is_in_its_return():
    reward = torch.tensor([[5.0], [3.0], [2.0]])
    ahead = n_step_returns(reward, torch.zeros_like(reward, dtype=torch.bool), 2, gamma=0.5)
    assert ahead.returns.tolist() == [[6.5], [4.0], [2.0]]


def test_without_a_discount_of_later_steps_only_the_own_reward_counts():
    reward = torch.tensor([[5.0], [3.0], [2.0]])
    ahead = n_step_returns(reward, torch.zeros_like(reward, dtype=torch.bool), 3, gamma=0.0)
    assert torch.equal(ahead.returns, reward)
