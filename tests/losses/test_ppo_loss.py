"""PPO's losses on hand-made minibatches."""

from __future__ import annotations

import math

import torch

from memrl.losses.ppo import masked_mean, moments, ppo_loss

N = 7


def batch(n=N, seed=0):
    g = torch.Generator().manual_seed(seed)
    names = ("log_prob", "old_log_prob", "advantage", "entropy", "value", "old_value", "target")
    made = {name: torch.randn(n, dtype=torch.float64, generator=g) for name in names}
    made["valid"] = torch.ones(n, dtype=torch.bool)
    return made


def test_losses_match_the_definition():
    b = batch()
    got = ppo_loss(**b, clip=0.2, value_clip=None)
    policy = value = kl = clipped = 0.0
    for i in range(N):
        r = math.exp(b["log_prob"][i] - b["old_log_prob"][i])
        a = float(b["advantage"][i])
        policy -= min(r * a, min(max(r, 0.8), 1.2) * a) / N
        value += 0.5 * float(b["value"][i] - b["target"][i]) ** 2 / N
        kl += (r - 1 - math.log(r)) / N
        clipped += (abs(r - 1) > 0.2) / N
    for have, want in (
        (got.policy, policy),
        (got.value, value),
        (got.kl, kl),
        (got.clipped, clipped),
    ):
        torch.testing.assert_close(float(have), want)


def test_padding_changes_no_loss():
    b = batch()
    padded = {
        name: torch.cat([x, torch.full((5,), True if name == "valid" else math.nan).to(x.dtype)])
        for name, x in b.items()
    }
    padded["valid"][N:] = False
    for name in ("value", "old_value", "target", "advantage", "entropy"):
        padded[name][N:] = 1e6
    a = ppo_loss(**b, clip=0.2, value_clip=0.3)
    c = ppo_loss(**padded, clip=0.2, value_clip=0.3)
    for x, y in zip(a, c, strict=True):
        torch.testing.assert_close(x, y)


def test_value_clip_takes_the_worse_of_both_errors():
    b = batch(1)
    b["old_value"], b["value"], b["target"] = (torch.tensor([x]).double() for x in (0.0, 1.0, 1.0))
    assert ppo_loss(**b, clip=0.2, value_clip=None).value == 0.0
    torch.testing.assert_close(float(ppo_loss(**b, clip=0.2, value_clip=0.25).value), 0.5 * 0.75**2)


def standardised(x, valid):
    return moments([(x, valid)])[0].standardise(x)


def test_normalised_advantages_ignore_padding():
    x = torch.randn(N, dtype=torch.float64)
    valid = torch.ones(N + 3, dtype=torch.bool)
    valid[N:] = False
    padded = torch.cat([x, torch.full((3,), 1e9, dtype=torch.float64)])
    want = (x - x.mean()) / (x.std() + 1e-8)
    torch.testing.assert_close(standardised(padded, valid)[:N], want)


def test_a_single_valid_step_gives_no_nan():
    valid = torch.tensor([False, True, False])
    assert standardised(torch.tensor([1.0, 2.0, 3.0]), valid).isfinite().all()


def test_no_valid_step_gives_zero():
    none = torch.zeros(3, dtype=torch.bool)
    assert masked_mean(torch.full((3,), math.nan), none) == 0.0
