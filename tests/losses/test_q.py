"""Targets of Q-learning against plain loops, episode by episode."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.losses.q import n_step_targets, rescale, sequence_priority, unscale

S, B = 11, 3


def tape(seed: int):
    """Rewards, values and ends, some of them terminations, at random: [S, B]."""
    g = torch.Generator().manual_seed(seed)
    reward, value = (torch.randn(S, B, generator=g, dtype=torch.float64) for _ in "rv")
    terminated = torch.rand(S, B, generator=g) < 0.15
    truncated = torch.rand(S, B, generator=g) < 0.15
    start = torch.zeros(S, B, dtype=torch.bool)
    start[1:] = (terminated | truncated)[:-1]
    return reward, value, terminated, start


def target_in_a_loop(tape, t, b, gamma, n):
    """The return that step t bootstraps to, or None."""
    reward, value, terminated, start = tape
    total = 0.0
    for i in range(n):
        at = t + i
        if start[at + 1, b] and not terminated[at, b]:  # the observation after `at` is lost
            return None if i == 0 else total + gamma**i * float(value[at, b])
        total += gamma**i * float(reward[at, b])
        if terminated[at, b]:
            return total
    return total + gamma**n * float(value[t + n, b])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 500), n=st.sampled_from([1, 2, 3, 5]))
def test_targets_are_those_of_a_loop(seed, n):
    made = tape(seed)
    got = n_step_targets(*made, gamma=0.9, n=n)
    assert got.value.shape == (S - n, B)
    for t in range(S - n):
        for b in range(B):
            want = target_in_a_loop(made, t, b, 0.9, n)
            assert bool(got.known[t, b]) == (want is not None)
            if want is not None:
                assert float(got.value[t, b]) == pytest.approx(want, abs=1e-12)


def one_row(ends: dict[int, str], n: int, length: int = 6):
    """Rewards 1, values 100: a row with the given ends."""
    reward, value = torch.ones(length, 1), torch.full((length, 1), 100.0)
    terminated, start = (torch.zeros(length, 1, dtype=torch.bool) for _ in "ts")
    for t, how in ends.items():
        terminated[t], start[t + 1] = how == "terminated", True
    return n_step_targets(reward, value, terminated, start, gamma=0.5, n=n)


def test_nothing_comes_after_a_termination():
    got = one_row({2: "terminated"}, 3)
    torch.testing.assert_close(got.value[:, 0], torch.tensor([1.75, 1.5, 1.0]))
    assert got.known.all()


def test_a_truncated_episode_goes_on_in_the_value_of_its_last_known_observation():
    got = one_row({2: "truncated"}, 3)
    torch.testing.assert_close(got.value[:2, 0], torch.tensor([1.5 + 25.0, 1.0 + 50.0]))
    assert got.known[:, 0].tolist() == [True, True, False]


def test_values_of_the_next_episode_never_enter():
    for how in ("terminated", "truncated"):
        plain = one_row({1: how}, 3)
        reward, value = torch.ones(6, 1), torch.full((6, 1), 100.0)
        reward[2:], value[2:] = torch.nan, torch.nan
        terminated, start = (torch.zeros(6, 1, dtype=torch.bool) for _ in "ts")
        terminated[1], start[2] = how == "terminated", True
        spoiled = n_step_targets(reward, value, terminated, start, gamma=0.5, n=3)
        known = plain.known[:2]
        assert torch.equal(plain.value[:2][known], spoiled.value[:2][known])


@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
def test_rescaling_is_undone_to_the_last_digits(epsilon):
    x = torch.tensor([-1e4, -3.0, -0.1, 0.0, 1e-6, 2.0, 500.0], dtype=torch.float64)
    torch.testing.assert_close(unscale(rescale(x, epsilon), epsilon), x, rtol=1e-9, atol=1e-12)


def test_rescaling_matches_the_definition():
    x, epsilon = torch.tensor([-8.0, 3.0]), 0.01
    torch.testing.assert_close(rescale(x, epsilon), torch.tensor([-2.08, 1.03]))


def test_without_epsilon_returns_are_as_they_are():
    x = torch.tensor([-8.0, 3.0])
    assert torch.equal(rescale(x, 0.0), x)
    assert torch.equal(unscale(x, 0.0), x)


def test_a_priority_mixes_the_largest_and_the_mean_error_of_valid_steps():
    error = torch.tensor([[1.0, 9.0], [-3.0, 9.0], [50.0, 9.0]])
    valid = torch.tensor([[True, False], [True, False], [False, False]])
    got = sequence_priority(error, valid, eta=0.9)
    torch.testing.assert_close(got, torch.tensor([0.9 * 3.0 + 0.1 * 2.0, 0.0]))
