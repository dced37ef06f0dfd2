"""ACT: a GRU run over one input as often as its halting says."""

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
    """The library's GRU of [x, δ] with the same weights."""
    cell = nn.GRUCell(IN + 1, H, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([core.input.weight, core.first], dim=1))
        cell.bias_ih.copy_(core.input.bias)
        cell.weight_hh.copy_(core.hidden.weight)
        cell.bias_hh.copy_(core.hidden.bias)
    return cell


def plain(core, x, s):
    """The next state and ρ after one input of one row."""
    cell, flag, spent, mean = as_torch(core), 1.0, 0.0, torch.zeros(H).double()
    for n in range(1, N + 1):
        s = cell(torch.cat([x, torch.tensor([flag]).double()])[None], s[None])[0]
        h = core.halting(s).sigmoid()[0]
        if spent + h >= 0.99 or n == N:
            return mean + (1 - spent) * s, n + 1 - spent
        mean, spent, flag = mean + h * s, spent + h, 0.0
    raise AssertionError


def test_outputs_and_cost_match_the_plain_loops():
    core, x = make(), rand(T, B, IN)
    with torch.no_grad():
        core.halting.weight.copy_(5 * torch.linspace(-1, 1, H))
        for part in (core.input.bias, core.hidden.bias):
            part.normal_(0, 0.3)
        core.halting.bias.fill_(-1)
        out = core(x, core.initial_state(B), never())
        ponders = set()
        for b in range(B):
            s = torch.zeros(H).double()
            for t in range(T):
                s, ponder = plain(core, x[t, b], s)
                torch.testing.assert_close(out.y[t, b], s)
                assert out.cost[t, b].item() == pytest.approx(core.ponder_cost * float(ponder))
                ponders.add(int(ponder))
    assert len(ponders) > 1  # not all inputs are thought about equally long


def test_at_first_two_thoughts_are_enough():
    core = make()
    with torch.no_grad():
        core.halting.weight.zero_()
    state = core(rand(T, B, IN), core.initial_state(B), never()).state
    assert state.ponder.tolist() == pytest.approx([2 + 1 - torch.tensor(1.0).sigmoid().item()] * B)


def test_a_network_that_halts_at_once_is_a_gru_whose_flag_is_always_up():
    core, x = make(), rand(T, B, IN)
    with torch.no_grad():
        core.halting.bias.fill_(99)
        cell, s = as_torch(core), torch.zeros(B, H).double()
        for t in range(T):
            s = cell(torch.cat([x[t], torch.ones(B, 1).double()], dim=1), s)
        torch.testing.assert_close(core(x, core.initial_state(B), never()).state.h, s)


def test_a_dearer_thought_is_a_shorter_one():
    """One step against the gradient of the cost raises what every thought halts with."""
    core, x = make(ponder_cost=1.0), rand(T, B, IN)
    before = core(x, core.initial_state(B), never()).cost.mean()
    before.backward()
    with torch.no_grad():
        core.halting.bias -= 0.1 * core.halting.bias.grad
        assert core(x, core.initial_state(B), never()).cost.mean() < before
