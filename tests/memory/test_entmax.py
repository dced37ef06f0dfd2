"""1.5-entmax: the weights and gradients of its definition, found by bisection."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.ops.entmax import entmax15

B, N = 3, 7


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def by_bisection(z):
    """p_i = [z_i / 2 − τ]₊² with Σ p = 1, for a list of scores."""
    x = [value / 2 for value in z]
    low, high = max(x) - 1, max(x)
    for _ in range(100):
        tau = (low + high) / 2
        total = sum(max(value - tau, 0) ** 2 for value in x)
        low, high = (tau, high) if total > 1 else (low, tau)
    return [max(value - tau, 0) ** 2 for value in x]


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 3.0, 100.0])
def test_the_weights_are_those_of_bisection(scale):
    z = scale * rand(B, N)
    want = torch.tensor([by_bisection(row) for row in z.tolist()], dtype=torch.float64)
    torch.testing.assert_close(entmax15(z), want)


def test_some_weights_are_exactly_zero_and_all_sum_to_one():
    p = entmax15(3 * rand(100, N))
    torch.testing.assert_close(p.sum(-1), torch.ones(100).double())
    assert 0.2 < (p == 0).double().mean() < 0.9


def test_only_visible_entries_get_weight():
    z, over = rand(B, N), torch.rand(B, N) < 0.6
    over[:2] = torch.tensor([True, False]).view(2, 1)
    p = entmax15(z, over)
    for b in range(B):
        known = [i for i in range(N) if over[b, i]]
        want = torch.zeros(N).double()
        if known:
            want[known] = torch.tensor(by_bisection(z[b, known].tolist()), dtype=torch.float64)
        torch.testing.assert_close(p[b], want)


def test_the_gradient_is_that_of_differences():
    over = torch.ones(B, N, dtype=torch.bool)
    over[1, 2:5] = over[2] = False
    z = rand(B, N).requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: entmax15(scores, over), z)


def test_hidden_scores_and_huge_ones_give_finite_weights_and_gradients():
    z = torch.tensor([[1e30, -1e30, 0.0], [torch.nan, 1.0, torch.inf]]).requires_grad_()
    p = entmax15(z, torch.tensor([[True, True, True], [False, True, False]]))
    torch.testing.assert_close(p, torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    assert (p == 0).sum() == 4
    p[:, 1].sum().backward()
    assert z.grad.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_it_is_sharper_than_softmax_and_keeps_its_order():
    z = rand(B, N)
    p, soft = entmax15(z), z.softmax(-1)
    assert (p.amax(-1) > soft.amax(-1)).all()
    assert torch.equal(p.argmax(-1), soft.argmax(-1))
