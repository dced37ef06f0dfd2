"""GAE by hand, across every way in which an episode can end."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.losses.returns import gae

GAMMA, LAM = 0.9, 0.7


def by_hand(reward, value, ended, bootstrap, last):
    """One row, plain loops: sum of discounted temporal differences up to the episode's end."""
    T = len(reward)
    advantage = []
    for t in range(T):
        total, weight = 0.0, 1.0
        for k in range(t, T):
            following = bootstrap[k] if ended[k] else (value[k + 1] if k + 1 < T else last)
            total += weight * (reward[k] + GAMMA * following - value[k])
            weight *= GAMMA * LAM
            if ended[k]:
                break
        advantage.append(total)
    return advantage


def column(values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype).unsqueeze(1)


@pytest.mark.parametrize(
    ("name", "ended", "bootstrap"),
    [
        ("terminated", [False, True, False, False, False], [0.0, 0.0, 0.0, 0.0, 0.0]),
        ("truncated", [False, True, False, False, False], [0.0, 2.5, 0.0, 0.0, 0.0]),
        ("ends with the rollout", [False, False, False, False, True], [0.0, 0.0, 0.0, 0.0, 1.5]),
        ("goes on after the rollout", [False] * 5, [0.0] * 5),
    ],
)
def test_two_episodes_by_hand(name, ended, bootstrap):
    reward, value, last = [1.0, 2.0, -1.0, 0.5, 3.0], [0.3, -0.2, 0.7, 1.1, -0.4], 0.9
    got = gae(
        column(reward),
        column(value),
        column(ended, torch.bool),
        column(bootstrap),
        torch.tensor([last], dtype=torch.float64),
        gamma=GAMMA,
        lam=LAM,
    )
    want = by_hand(reward, value, ended, bootstrap, last)
    torch.testing.assert_close(got.squeeze(1), torch.tensor(want, dtype=torch.float64))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_pattern_of_ends_matches_plain_loops(data):
    T, B = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    seed = data.draw(st.integers(0, 2**16))
    g = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(T, B, dtype=torch.float64, generator=g)  # noqa: E731
    reward, value, bootstrap = draw(), draw(), draw()
    ended = torch.rand(T, B, generator=g) < 0.4
    last = torch.randn(B, dtype=torch.float64, generator=g)
    got = gae(reward, value, ended, bootstrap, last, gamma=GAMMA, lam=LAM)
    for b in range(B):
        args = (reward[:, b], value[:, b], ended[:, b], bootstrap[:, b])
        want = by_hand(*(x.tolist() for x in args), float(last[b]))
        torch.testing.assert_close(got[:, b], torch.tensor(want, dtype=torch.float64))


def test_nothing_flows_back_over_an_end():
    reward = torch.zeros(4, 1, dtype=torch.float64)
    value = torch.zeros_like(reward)
    ended = torch.tensor([[False], [True], [False], [False]])
    later = reward.clone()
    later[2] = 100.0
    zero = torch.zeros(1, dtype=torch.float64)
    a = gae(reward, value, ended, torch.zeros_like(reward), zero, gamma=GAMMA, lam=LAM)
    b = gae(later, value, ended, torch.zeros_like(reward), zero, gamma=GAMMA, lam=LAM)
    torch.testing.assert_close(a[:2], b[:2], rtol=0, atol=0)
    assert b[2] == 100.0
