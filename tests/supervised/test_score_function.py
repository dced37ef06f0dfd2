"""Drawn choices learn from the loss that follows them."""

from __future__ import annotations

import torch

from memrl.supervised.score_function import score_function

T, B = 5, 3


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_each_choice_is_weighted_by_the_later_loss_less_that_of_the_others():
    log_prob, losses = rand(T, B).requires_grad_(), rand(T, B)
    (got,) = torch.autograd.grad(score_function(log_prob, losses), log_prob)
    for t in range(T):
        for b in range(B):
            later = [sum(losses[s, c] for s in range(t, T)) for c in range(B)]
            others = [later[c] for c in range(B) if c != b]
            torch.testing.assert_close(got[t, b], later[b] - sum(others) / len(others))


def test_a_sequence_alone_has_no_baseline():
    log_prob = rand(T, 1).requires_grad_()
    losses = rand(T, 1)
    (got,) = torch.autograd.grad(score_function(log_prob, losses), log_prob)
    torch.testing.assert_close(got, losses.flip(0).cumsum(0).flip(0))


def test_its_gradient_is_that_of_the_expected_loss():
    """One choice of three, over many draws; the exact gradient is that of Σ π_i L_i."""
    scores = rand(3).requires_grad_()
    loss = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)
    (want,) = torch.autograd.grad((scores.softmax(0) * loss).sum(), scores)
    many = 50_000
    drawn = scores.softmax(0).multinomial(many, True, generator=torch.Generator().manual_seed(1))
    log_prob = scores.log_softmax(0)[drawn].unsqueeze(0)
    total = score_function(log_prob, loss[drawn].unsqueeze(0))
    (got,) = torch.autograd.grad(total / many, scores)
    torch.testing.assert_close(got, want, rtol=0, atol=0.05)
