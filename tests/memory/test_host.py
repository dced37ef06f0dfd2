"""Without the host, sequences and their gradients are the same, and no value is read."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import tape
import torch
from random_cores import draw, perturbed
from small_agents import options
from suites import slow_but

from memrl.memory import build, names
from memrl.memory import state as states
from memrl.memory.ops.host import steps_with_start, without_host

T, B, IN = 5, 3, 7
KINDS = {"gru", "lru", "dnc", "sam", "rmc"}  # each looks for starts at a place of its own


@pytest.mark.parametrize("memory", slow_but(KINDS, names()))
def test_a_sequence_is_the_same_without_the_host(memory):
    core = perturbed(build(memory, IN, options(memory)))
    x, start = draw(T, B, IN), torch.rand(T, B) < 0.3
    start[2] = False  # a step at which nothing starts

    def outputs_and_gradients(context):
        core.zero_grad()
        before = x.clone().requires_grad_()
        state = states.clone(core.initial_state(B))
        with context:
            out = core(before, state, start)
        out.y.square().sum().backward()
        return [out.y, before.grad, *(p.grad for p in core.parameters())]

    ordinary = outputs_and_gradients(nullcontext())
    with tape.NothingRead():
        other = outputs_and_gradients(without_host())
    torch.testing.assert_close(other, ordinary, rtol=1e-12, atol=1e-12)


def test_without_the_host_every_step_may_be_a_start_and_afterwards_not():
    start = torch.tensor([[False, True], [False, False]])
    with without_host():
        assert steps_with_start(start) == [True, True]
    assert steps_with_start(start) == [True, False]
