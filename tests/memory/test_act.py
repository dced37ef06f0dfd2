"""ACT: an LSTM run over one input as often as its halting says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memrl.memory import ACT

T, B, IN, H, N = 5, 3, 2, 7, 4


def make(**options):
    return ACT(IN, **({"max_steps": N, "hidden_dim": H} | options)).double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def as_torch(core):
    """The library's LSTM of [x, δ] with the same weights; its gates are i, f, g, o."""
    cell = nn.LSTMCell(IN + 1, H, dtype=torch.float64)
    i, f, o, g = torch.arange(4 * H).split(H)
    order = torch.cat([i, f, g, o])
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([core.input.weight, core.first], dim=1)[order])
        cell.bias_ih.copy_(core.input.bias[order])
        cell.weight_hh.copy_(core.hidden.weight[order])
        cell.bias_hh.zero_()
    return cell


def plain(core, x, s):
    """The next state and ρ after one input of one row; a state is h and c one above the other."""
    cell, flag, spent, mean = as_torch(core), 1.0, 0.0, torch.zeros(2, H).double()
    for n in range(1, N + 1):
        given = torch.cat([x, torch.tensor([flag]).double()])[None]
        s = torch.cat(cell(given, (s[:1], s[1:])))
        h = core.halting(s[0]).sigmoid()[0]
        if spent + h >= 0.99 or n == N:
            return mean + (1 - spent) * s, n + 1 - spent
        mean, spent, flag = mean + h * s, spent + h, 0.0
    raise AssertionError


def test_outputs_and_cost_match_the_plain_loops():
    core, x = make(), rand(T, B, IN)
    with torch.no_grad():
        core.halting.weight.copy_(9 * torch.linspace(-1, 1, H))
        core.input.bias.normal_(0, 0.3)
        core.halting.bias.fill_(-0.5)
        out = core(x, core.initial_state(B), never())
        ponders = set()
        for b in range(B):
            s = torch.zeros(2, H).double()
            for t in range(T):
                s, ponder = plain(core, x[t, b], s)
                torch.testing.assert_close(out.y[t, b], s[0])
                assert out.cost[t, b].item() == pytest.approx(core.ponder_cost * float(ponder))
                ponders.add(int(ponder))
            torch.testing.assert_close(out.state.c[b], s[1])
    assert len(ponders) > 1  # not all inputs are thought about equally long


def test_at_first_two_thoughts_are_enough():
    core = make()
    with torch.no_grad():
        core.halting.weight.zero_()
    state = core(rand(T, B, IN), core.initial_state(B), never()).state
    assert state.ponder.tolist() == pytest.approx([2 + 1 - torch.tensor(1.0).sigmoid().item()] * B)


def test_a_network_that_halts_at_once_is_an_lstm_whose_flag_is_always_up():
    core, x = make(), rand(T, B, IN)
    with torch.no_grad():
        core.halting.bias.fill_(99)
        cell, s = as_torch(core), (torch.zeros(B, H).double(), torch.zeros(B, H).double())
        for t in range(T):
            s = cell(torch.cat([x[t], torch.ones(B, 1).double()], dim=1), s)
        got = core(x, core.initial_state(B), never()).state
    torch.testing.assert_close((got.h, got.c), s)


def test_a_dearer_thought_is_a_shorter_one():
    """One step against the gradient of the cost raises what every thought halts with."""
    core, x = make(ponder_cost=1.0), rand(T, B, IN)
    before = core(x, core.initial_state(B), never()).cost.mean()
    before.backward()
    with torch.no_grad():
        core.halting.bias -= 0.1 * core.halting.bias.grad
        assert core(x, core.initial_state(B), never()).cost.mean() < before
