"""Kernels over rows equal the update in torch: values, states, and every gradient."""

from __future__ import annotations

import pytest
import torch

from memrl.memory import registry
from memrl.memory.kernels.choice import SWITCH
from memrl.memory.state import leaves, map_state

# Distinct primes; what a head, a slot and a word are must not be mistaken for each other.
SIZES = {
    "dnc": {"slots": 7, "word_dim": 3, "read_heads": 2, "hidden_dim": 11},
    "ntm": {"slots": 7, "word_dim": 3, "read_heads": 2, "write_heads": 2, "hidden_dim": 11},
    "lrua": {"slots": 7, "word_dim": 3, "read_heads": 2, "hidden_dim": 11},
    "graph": {"slots": 7, "word_dim": 3, "read_heads": 2, "rounds": 2, "hidden_dim": 11},
    "sam": {"slots": 13, "word_dim": 3, "read_heads": 2, "neighbours": 5, "hidden_dim": 11},
}
T, B, IN = 17, 5, 2
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3}


def make(name, dtype, **given):
    torch.manual_seed(3)
    core = registry.build(name, IN, {**SIZES[name], **given}).to(dtype)
    with torch.no_grad():
        for weight in core.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return core


def batch(dtype, steps=T):
    random = torch.Generator().manual_seed(5)
    x = torch.randn(steps, B, IN, generator=random, dtype=dtype)
    start = torch.rand(steps, B, generator=random) < 0.15
    start[0, 0] = True
    return x, start


def floats(state):
    return [leaf for leaf in leaves(state) if leaf.is_floating_point()]


def run(core, x, start, state):
    """Values and gradients for random gradients of all outputs."""
    state = map_state(lambda leaf: leaf.clone().requires_grad_(leaf.is_floating_point()), state)
    x = x.clone().requires_grad_()
    out = core(x, state, start)
    random = torch.Generator().manual_seed(7)
    ends = [out.y, *floats(out.state)]
    ends = [end for end in ends if end.requires_grad]
    seeds = [torch.randn(end.shape, generator=random, dtype=end.dtype) for end in ends]
    given = [x, *core.parameters(), *floats(state)]
    grads = torch.autograd.grad(ends, given, seeds, allow_unused=True)
    grads = [torch.zeros_like(g) if d is None else d for g, d in zip(given, grads, strict=True)]
    return [out.y, *leaves(out.state)], grads


@pytest.fixture(autouse=True)
def _kernels(monkeypatch):
    monkeypatch.setenv(SWITCH, "1")


def both(monkeypatch, work):
    """By kernel, then in torch."""
    fast = work()
    monkeypatch.setenv(SWITCH, "0")
    return fast, work()


def compare(monkeypatch, name, dtype):
    core = make(name, dtype)
    x, start = batch(dtype, 9)
    with torch.no_grad():  # a memory that has seen something
        state = core(x, core.initial_state(B), start).state
    x, start = batch(dtype)
    assert core._memory(x).steps
    (values, grads), (true_values, true_grads) = both(
        monkeypatch, lambda: run(core, x, start, state)
    )
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(values, true_values, **near)
    for one, true in zip(grads, true_grads, strict=True):
        scale = true.abs().max().clamp_min(1)
        torch.testing.assert_close(one / scale, true / scale, **near)


@pytest.mark.parametrize("name", SIZES)
def test_a_kernel_equals_the_update_in_values_and_gradients(monkeypatch, name):
    compare(monkeypatch, name, torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_in_single_precision_a_kernel_is_as_near_as_rounding_allows(monkeypatch, name):
    compare(monkeypatch, name, torch.float32)


@pytest.mark.parametrize("name", SIZES)
def test_steps_by_a_kernel_equal_steps_in_torch(monkeypatch, name):
    core = make(name, torch.float64)
    x, start = batch(torch.float64)

    @torch.no_grad()
    def act():
        state, seen = core.initial_state(B), []
        for x_t, start_t in zip(x, start, strict=True):
            y, state = core.step(x_t, state, start_t, donate=True)
            seen.append(y)
        return [*seen, *leaves(state)]

    fast, true = both(monkeypatch, act)
    torch.testing.assert_close(fast, true, rtol=1e-9, atol=1e-9)
