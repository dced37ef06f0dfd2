"""V-trace against its definition: sums over the steps that follow, in plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.losses.ppo import mean_count
from memrl.losses.returns import gae
from memrl.losses.vtrace import vtrace, vtrace_loss

T, B, GAMMA = 7, 5, 0.9


def sequence():
    """Log-ratios, rewards, values, and ends: row 1 terminates, row 2 is cut, row 3 does both."""
    drawn = torch.Generator().manual_seed(3)
    log_ratio, reward, value = (
        torch.randn(T, B, generator=drawn, dtype=torch.float64) for _ in range(3)
    )
    terminated, cut = (torch.zeros(T, B, dtype=torch.bool) for _ in range(2))
    terminated[2, 1] = terminated[4, 3] = cut[3, 2] = cut[1, 3] = terminated[6, 4] = True
    cut[6, :4] = True
    return log_ratio, reward, value, terminated, cut


def by_definition(log_ratio, reward, value, terminated, cut, s, b, *, rho, c):
    """v_s = V(x_s) + Σ_t γ^{t−s} (Π_{s ≤ i < t} c_i) δ_t, up to the episode's end or the cut."""
    v, weight, t = float(value[s, b]), 1.0, s
    while not cut[t, b]:
        over = bool(terminated[t, b])
        ratio = math.exp(log_ratio[t, b])
        after = 0.0 if over else float(value[t + 1, b])
        v += weight * min(rho, ratio) * (float(reward[t, b]) + GAMMA * after - float(value[t, b]))
        if over:
            break
        weight *= GAMMA * min(c, ratio)
        t += 1
    return v


@pytest.mark.parametrize(("rho", "c"), [(1.0, 1.0), (2.5, 0.7)])
def test_targets_and_advantages_match_the_definition(rho, c):
    given = sequence()
    log_ratio, reward, value, terminated, cut = given
    found = vtrace(*given, gamma=GAMMA, rho=rho, c=c)
    target = torch.tensor(
        [[by_definition(*given, s, b, rho=rho, c=c) for b in range(B)] for s in range(T)],
        dtype=torch.float64,
    )
    torch.testing.assert_close(found.target, target)
    for s in range(T):
        for b in range(B):
            after = 0.0 if terminated[s, b] or cut[s, b] else float(target[s + 1, b])
            gain = float(reward[s, b]) + GAMMA * after - float(value[s, b])
            wanted = 0.0 if cut[s, b] else min(rho, math.exp(log_ratio[s, b])) * gain
            assert float(found.advantage[s, b]) == pytest.approx(wanted)


def test_of_ones_own_steps_targets_are_the_returns():
    """With ratios of 1, v_s is the n-step return, which is GAE's with λ = 1."""
    _, reward, value, terminated, cut = sequence()
    cut = torch.zeros_like(cut)
    cut[-1], terminated[-1] = True, False
    found = vtrace(torch.zeros_like(value), reward, value, terminated, cut, gamma=GAMMA)
    zeros = torch.zeros_like(value[:-1])
    advantage = gae(
        reward[:-1], value[:-1], terminated[:-1], zeros, value[-1], gamma=GAMMA, lam=1.0
    )
    torch.testing.assert_close(found.target[:-1], advantage + value[:-1])


def test_losses_are_means_over_valid_steps():
    drawn = torch.Generator().manual_seed(5)
    log_prob, value, target, advantage = (
        torch.randn(T, B, generator=drawn, dtype=torch.float64) for _ in range(4)
    )
    valid = torch.rand(T, B, generator=drawn) < 0.5
    loss = vtrace_loss(log_prob, value, target, advantage, valid, mean_count(valid))
    steps = [(t, b) for t in range(T) for b in range(B) if valid[t, b]]
    gains = [float(log_prob[t, b] * advantage[t, b]) for t, b in steps]
    errors = [0.5 * float(value[t, b] - target[t, b]) ** 2 for t, b in steps]
    assert float(loss.policy) == pytest.approx(-sum(gains) / len(steps))
    assert float(loss.value) == pytest.approx(sum(errors) / len(steps))
