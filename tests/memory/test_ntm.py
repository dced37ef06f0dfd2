"""What an NTM does to its slots."""

from __future__ import annotations

import pytest
import torch

from memrl.memory import NTM

T, B, IN, N, W = 5, 3, 2, 7, 11


def build(**options):
    return NTM(IN, **{"slots": N, "word_dim": W, "hidden_dim": 13, **options}).double()


def run(core, state=None, steps=T):
    x = torch.randn(steps, B, IN, dtype=torch.float64)
    start = torch.zeros(steps, B, dtype=torch.bool)
    return core(x, core.initial_state(B) if state is None else state, start)


def spread(memory):
    """The largest difference between two slots, over the rows."""
    return (memory - memory[:, :1]).abs().amax()


def test_slots_diverge_from_the_constant_memory():
    core = build()
    assert not spread(core.initial_state(B).memory)
    assert spread(run(core).state.memory) > 1e-3


@pytest.mark.parametrize("weight", [0.0, 1 / N])
def test_with_equal_first_weights_every_slot_would_stay_equal_for_ever(weight):
    core = build()
    state = core.initial_state(B)
    state = state._replace(
        read_weights=torch.full_like(state.read_weights, weight),
        write_weights=torch.full_like(state.write_weights, weight),
    )
    assert spread(run(core, state).state.memory) < 1e-12


def test_weights_are_distributions():
    core = build(read_heads=2, write_heads=3)
    state = run(core).state
    for weights, heads in ((state.read_weights, 2), (state.write_weights, 3)):
        assert weights.shape == (B, heads, N)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, heads, dtype=torch.float64))


def test_reads_are_of_the_memory_before_the_write():
    core = build(read_heads=2)
    before = run(core).state
    after = run(core, before, steps=1).state
    want = torch.einsum("brn,bnw->brw", after.read_weights, before.memory)
    torch.testing.assert_close(after.reads, want)


def test_slots_may_turn_together():
    """Nothing in an NTM knows where slot 0 is: turning the state turns what follows."""
    core = build(memory_init="random")
    state = run(core).state
    turned = state._replace(
        memory=state.memory.roll(2, dims=1),
        read_weights=state.read_weights.roll(2, dims=-1),
        write_weights=state.write_weights.roll(2, dims=-1),
    )
    torch.manual_seed(1)
    want = run(core, state)
    torch.manual_seed(1)
    got = run(core, turned)
    torch.testing.assert_close(got.y, want.y)
    torch.testing.assert_close(got.state.memory, want.state.memory.roll(2, dims=1))


@pytest.mark.parametrize("init", ["constant", "learned", "random"])
def test_only_a_learned_first_memory_is_a_parameter(init):
    core = build(memory_init=init)
    assert ("first_memory" in dict(core.named_parameters())) == (init == "learned")
    assert "first_memory" in core.state_dict()


def test_a_shift_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="shift_range is 4; allowed: at most 3 with 7 slots"):
        build(shift_range=4)


def test_extreme_inputs_stay_finite_with_their_gradients():
    core = build()
    x = 1e6 * torch.randn(T, B, IN, dtype=torch.float64)
    core(x, core.initial_state(B), torch.zeros(T, B, dtype=torch.bool)).y.sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())


def test_a_closed_interpolation_gate_is_told_and_keeps_the_head_where_it_was():
    core = build(shift_range=0)
    with torch.no_grad():
        core.interface.weight.zero_()
        core.interface.bias.zero_()  # γ = 1 + ln 2
        gates = sum(core.split[:-1])
        core.interface.bias[gates] = -1e4  # clipped to −20
    before, x = run(core).state, torch.randn(B, IN, dtype=torch.float64)
    told = core.step_diagnostics(x, before)["interpolation_gates"]
    assert told.shape == (B, 2)  # the read head's, the write head's
    assert (told[:, 0] < 1e-8).all()
    assert (told[:, 1] == 0.5).all()
