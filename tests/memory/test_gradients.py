"""Memories that loop or scan: gradients match finite differences, and stay finite."""

from __future__ import annotations

import pytest
import torch

from memrl import memory
from memrl.memory import state as states

T, B, IN = 5, 3, 2
SIZES = {
    "graph": {"slots": 4, "word_dim": 3, "hidden_dim": 3, "rounds": 2},
    "lrua": {"slots": 4, "word_dim": 3, "hidden_dim": 3, "read_heads": 2},
    "ntm": {"slots": 3, "word_dim": 2, "hidden_dim": 3, "memory_init": "random"},
    "rmc": {"slots": 3, "heads": 2, "head_dim": 2, "blocks": 2, "hidden_dim": 3},
    "sam": {"slots": 4, "word_dim": 3, "hidden_dim": 3, "read_heads": 2, "neighbours": 2},
    "ffm": {"trace_dim": 3, "context_dim": 2, "hidden_dim": 5},
    "lru": {"state_dim": 3, "hidden_dim": 5},
    "mamba": {"inner_dim": 3, "state_dim": 2, "rank": 1, "conv_width": 2, "hidden_dim": 5},
}
LONG = {
    "graph": {"slots": 7, "word_dim": 11, "read_heads": 2, "hidden_dim": 13},
    "lrua": {"slots": 7, "word_dim": 11, "read_heads": 2, "hidden_dim": 13},
    "sam": {"slots": 17, "word_dim": 11, "read_heads": 2, "neighbours": 3, "hidden_dim": 13},
    "sdnc": {"slots": 11, "word_dim": 5, "read_heads": 2, "neighbours": 3, "hidden_dim": 13},
}


@pytest.mark.parametrize("name", SIZES)
def test_gradients_are_those_of_the_formula(name):
    core = memory.build(name, IN, SIZES[name]).double()
    x = torch.randn(6, 2, IN, dtype=torch.float64, requires_grad=True)
    start = torch.zeros(6, 2, dtype=torch.bool)
    start[2, 1] = True
    assert torch.autograd.gradcheck(lambda x: core(x, core.initial_state(2), start).y, x)


@pytest.mark.nightly
@pytest.mark.parametrize("value", [0.0, 1.0, 1e4, -1e4])
@pytest.mark.parametrize("name", LONG)
def test_constant_inputs_stay_finite_with_their_gradients(name, value):
    core = memory.build(name, IN, LONG[name])
    x, state = torch.full((200, B, IN), value), core.initial_state(B)
    start = torch.zeros(200, B, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(10):
            state = core(x, state, start).state
    assert all(leaf.isfinite().all() for leaf in states.leaves(state))
    for before in (state, core.initial_state(B)):
        core.zero_grad()
        core(x[:T], before, start[:T]).y.sum().backward()
        assert all(p.grad.isfinite().all() for p in core.parameters())
