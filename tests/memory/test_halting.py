"""Halting: how many steps take place, what they weigh, and what of their cost has a gradient."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.ops.halting import EPSILON, first_thought, goes_on, halt

N, B = 7, 11


def run(h):
    """Weights [N, B], ρ [B] and who went on before each step [N, B], for halting h [N, B]."""
    thought, weights, ran = first_thought(h.new_zeros(h.shape[1], 1)), [], []
    for n, h_n in enumerate(h, 1):
        ran.append(goes_on(thought))
        weight, thought = halt(h_n, thought, last=n == len(h))
        weights.append(weight)
    return torch.stack(weights), thought.ponder, torch.stack(ran)


def constant(h, steps=N):
    return run(torch.full((steps, 1), h, dtype=torch.float64))


def test_halting_at_four_tenths_takes_three_steps():
    weights, ponder, ran = constant(0.4)
    assert weights[:, 0].tolist() == pytest.approx([0.4, 0.4, 0.2, 0, 0, 0, 0])
    assert ponder.item() == pytest.approx(3.2)
    assert ran[:, 0].tolist() == [True] * 3 + [False] * 4


@pytest.mark.parametrize("h", [0.99, 0.9999])
def test_halting_at_once_takes_one_step(h):
    weights, ponder, _ = constant(h)
    assert weights[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert ponder.item() == 2


def test_the_last_step_allowed_takes_the_rest():
    weights, ponder, _ = constant(0.1, steps=3)
    assert weights[:, 0].tolist() == pytest.approx([0.1, 0.1, 0.8])
    assert ponder.item() == pytest.approx(3.8)


def test_weights_and_cost_match_the_definition():
    h = torch.rand(N, B, dtype=torch.float64) ** 2
    weights, ponder, _ = run(h)
    for b in range(B):
        column = h[:, b].tolist()
        last = next((n for n in range(1, N + 1) if sum(column[:n]) >= 1 - EPSILON), N)
        rest = 1 - sum(column[: last - 1])
        want = [*column[: last - 1], rest] + [0] * (N - last)
        assert weights[:, b].tolist() == pytest.approx(want)
        assert ponder[b].item() == pytest.approx(last + rest)
    torch.testing.assert_close(weights.sum(0), torch.ones(B, dtype=torch.float64))


def test_the_cost_learns_through_the_remainder_only():
    h = torch.full((N, 1), 0.3, dtype=torch.float64, requires_grad=True)
    _, ponder, _ = run(h)
    (gradient,) = torch.autograd.grad(ponder.sum(), h)
    assert gradient[:, 0].tolist() == [-1, -1, -1, 0, 0, 0, 0]  # N = 4, R = 1 − h_1 − h_2 − h_3


def test_weights_have_the_gradient_of_finite_differences():
    h = torch.tensor([[0.2, 0.5], [0.3, 0.6], [0.1, 0.2]]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda h: run(h)[0], h)
