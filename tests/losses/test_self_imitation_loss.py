"""Self-imitation's loss against its definition in plain loops."""

from __future__ import annotations

import torch

from memrl.losses.self_imitation import self_imitation_loss

T, B = 5, 3


def numbers(seed: int, positive: bool = False) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(T, B, generator=g, dtype=torch.float64)
    return (x.abs() if positive else x).requires_grad_()


def test_the_loss_matches_the_definition():
    log_prob, value, returns = -numbers(0, positive=True), numbers(1), numbers(2).detach()
    valid = torch.rand(T, B, generator=torch.Generator().manual_seed(3)) < 0.7
    loss = self_imitation_loss(log_prob, value, returns, valid)
    policy = squares = count = positive = 0.0
    for t in range(T):
        for b in range(B):
            if valid[t, b]:
                gain = max(float(returns[t, b] - value[t, b].detach()), 0.0)
                policy += -float(log_prob[t, b].detach()) * gain
                squares += 0.5 * gain**2
                positive += gain > 0
                count += 1
                assert abs(float(loss.gain[t, b]) - gain) < 1e-12
            else:
                assert loss.gain[t, b] == 0
    assert 0 < positive < count < T * B
    assert abs(float(loss.policy.detach()) - policy / count) < 1e-12
    assert abs(float(loss.value.detach()) - squares / count) < 1e-12
    assert abs(float(loss.positive) - positive / count) < 1e-12


def test_only_steps_better_than_expected_move_anything():
    log_prob, value, returns = numbers(0), numbers(1), numbers(2).detach()
    everywhere = torch.ones(T, B, dtype=torch.bool)
    loss = self_imitation_loss(log_prob, value, returns, everywhere)
    (loss.policy + loss.value).backward()
    better = returns > value
    assert 0 < better.sum() < T * B
    for gradient in (log_prob.grad, value.grad):
        assert gradient[better].all()
        assert not gradient[~better].any()


def test_the_policys_part_does_not_teach_the_critic():
    log_prob, value, returns = numbers(0), numbers(1), numbers(2).detach()
    everywhere = torch.ones(T, B, dtype=torch.bool)
    self_imitation_loss(log_prob, value, returns, everywhere).policy.backward()
    assert value.grad is None


def test_what_is_not_valid_may_be_nan():
    log_prob, value, returns = numbers(0).detach(), numbers(1).detach(), numbers(2).detach()
    valid = torch.ones(T, B, dtype=torch.bool)
    valid[2, 1] = False
    for x in (log_prob, value, returns):
        x[2, 1] = torch.nan
    loss = self_imitation_loss(log_prob, value, returns, valid)
    assert all(part.isfinite().all() for part in loss)
