"""What a minGRU computes."""

from __future__ import annotations

import math

import torch

from memrl.memory import MinGRU

T, B, IN, H = 7, 3, 5, 2


def sigmoid(u):
    return 1 / (1 + math.exp(-u))


def test_a_sequence_is_the_papers_recurrence():
    core = MinGRU(IN, hidden_dim=H).double()
    x, start = torch.randn(T, B, IN, dtype=torch.float64), torch.zeros(T, B, dtype=torch.bool)
    y = core(x, core.initial_state(B), start).y
    weight, bias = core.input.weight.tolist(), core.input.bias.tolist()
    for row in range(B):
        h = [0.0] * H
        for t in range(T):
            pre = [
                sum(w * v for w, v in zip(weight[i], x[t, row].tolist(), strict=True)) + bias[i]
                for i in range(2 * H)
            ]
            for i in range(H):
                z, u = sigmoid(pre[i]), pre[H + i]
                h[i] = (1 - z) * h[i] + z * (u + 0.5 if u >= 0 else sigmoid(u))
            torch.testing.assert_close(y[t, row].tolist(), h)


def test_states_are_positive_and_within_what_was_offered():
    """h is a convex mixture of 0 and the candidates."""
    core = MinGRU(IN, hidden_dim=H).double()
    x = 3 * torch.randn(T, B, IN, dtype=torch.float64)
    y = core(x, core.initial_state(B), torch.zeros(T, B, dtype=torch.bool)).y
    u = core.input(x)[..., H:]
    offered = torch.where(u >= 0, u + 0.5, u.sigmoid()).cummax(dim=0).values
    assert (y > 0).all()
    assert (y <= offered).all()


def test_a_closed_gate_keeps_the_state_for_a_thousand_steps():
    core = MinGRU(IN, hidden_dim=H)
    with torch.no_grad():
        core.input.weight[:H], core.input.bias[:H] = 0, -40  # 1 - z is 1 in float32
    state = core.initial_state(B)._replace(h=torch.rand(B, H))
    x = torch.randn(1000, B, IN)
    last = core(x, state, torch.zeros(1000, B, dtype=torch.bool)).state
    torch.testing.assert_close(last.h, state.h)


def test_the_candidate_has_a_slope_on_both_sides_of_zero():
    core = MinGRU(1, hidden_dim=1).double()
    with torch.no_grad():
        core.input.weight[:] = torch.tensor([[0.0], [1.0]])
        core.input.bias[:] = 0
    x = torch.tensor([[[-1.0]], [[2.0]]], dtype=torch.float64, requires_grad=True)
    start = torch.ones(2, 1, dtype=torch.bool)
    slope = torch.autograd.grad(core(x, core.initial_state(1), start).y.sum(), x)[0]
    want = [0.5 * sigmoid(-1) * (1 - sigmoid(-1)), 0.5]
    torch.testing.assert_close(slope.flatten().tolist(), want)
