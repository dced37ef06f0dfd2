"""Memories whose number of slots changes: what stays, what is lost, what is refused."""

from __future__ import annotations

import pytest
import torch

from memrl import memory
from memrl.memory import state as states
from memrl.memory.ops.recency import block_shape, oldest_of_blocks
from memrl.memory.parts.growth import PATIENCE, Growth
from memrl.memory.parts.slots import resizable, resize

N, MORE, B, T, IN_DIM = 5, 11, 3, 4, 2
SMALL = {"hidden_dim": 7, "slots": N, "word_dim": 3, "read_heads": 2, "neighbours": 2, "lag": 1}
READS_WHAT_IS_WRITTEN = ["kvmemnn", "memnn", "sam", "sdnc"]  # the others look at all slots


def core_of(name, **options):
    torch.manual_seed(0)
    known = memory.schema(name).model_fields
    sizes = {key: value for key, value in SMALL.items() if key in known}
    return memory.build(name, IN_DIM, sizes | options).double()


def inputs(seed=1, steps=T):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, B, IN_DIM, generator=generator, dtype=torch.float64)


def no_start(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


def used_state(core, steps=T):
    with torch.no_grad():
        return core(inputs(steps=steps), core.initial_state(B), no_start(steps)).state


def test_six_memories_change_their_slots():
    assert resizable() == ["dnc", "kvmemnn", "memnn", "ntm", "sam", "sdnc"]


# When they are full, SAM and SDNC write to the new slots before they read.
CASES = [(name, T) for name in READS_WHAT_IS_WRITTEN] + [("kvmemnn", 2 * N), ("memnn", 2 * N)]


@pytest.mark.parametrize(("name", "steps"), CASES)
def test_new_slots_do_not_change_the_next_output(name, steps):
    core = core_of(name)
    state, x = used_state(core, steps), inputs(2)[0]
    want, _ = core.step(x, state, no_start()[0])
    core.resize(MORE)
    got, _ = core.step(x, core.carry_over(state), no_start()[0])
    torch.testing.assert_close(got, want)


def test_a_dnc_gets_free_slots_without_links():
    core = core_of("dnc")
    state = used_state(core)
    core.resize(MORE)
    after = core.carry_over(state)
    for name in ("memory", "usage", "precedence", "write_weights"):
        old, new = getattr(state, name), getattr(after, name)
        assert torch.equal(new[:, :N], old)
        assert not new[:, N:].any()
    assert torch.equal(after.link[:, :N, :N], state.link)
    assert not after.link[:, N:].any()
    assert not after.link[:, :, N:].any()
    assert torch.equal(after.read_weights[..., :N], state.read_weights)
    assert torch.equal(after.reads, state.reads)


def test_an_ntm_begins_where_it_learned_to_begin():
    core = core_of("ntm")
    old = core.initial_state(B)
    core.resize(MORE)
    new = core.initial_state(B)
    torch.testing.assert_close(new.read_weights[..., :N], old.read_weights, atol=1e-3, rtol=0)
    assert float(new.read_weights[..., N:].detach().sum(-1).max()) < 1e-3
    assert (new.memory == old.memory[0, 0, 0]).all()
    assert not core.used(new).any()
    core.resize(N)
    torch.testing.assert_close(core.initial_state(B).read_weights, old.read_weights)


def test_sam_takes_the_new_slots_next():
    core = core_of("sam", neighbours=1, read_heads=1)
    with torch.no_grad():
        core.interface.bias[-2:] = torch.tensor([20.0, -20.0])  # α = 1, γ = 0: one new word a step
    state = used_state(core, 2 * N)
    assert (state.written == N).all()
    core.resize(MORE)
    for more in range(1, MORE - N + 1):
        state = core.carry_over(state)
        _, state = core.step(inputs()[0], state, no_start()[0])
        assert (state.written == N + more).all()


def test_oldest_of_blocks_is_their_minimum():
    stamps = torch.randint(100, (B, MORE), generator=torch.Generator().manual_seed(0))
    width = block_shape(MORE)[1]
    want = [[min(row[i : i + width]) for i in range(0, MORE, width)] for row in stamps.tolist()]
    assert oldest_of_blocks(stamps).tolist() == want


@pytest.mark.parametrize("name", resizable())
def test_slots_that_hold_something_are_not_taken_away(name):
    core = core_of(name)
    state = used_state(core)
    core.resize(3 if name == "ntm" else 2)
    with pytest.raises(ValueError, match=r"slots is \d, and a state of 5 slots uses more of them"):
        core.carry_over(state)
    core.carry_over(core.initial_state(B))


def test_kvmemnn_says_how_many_slots_it_needs():
    core = core_of("kvmemnn")
    state = used_state(core, 4)
    core.resize(3)
    with pytest.raises(ValueError, match="allowed: from 4, or a new state"):
        core.carry_over(state)


def test_the_horizon_follows_the_ring():
    for name, options in (("memnn", {"write": "oldest"}), ("kvmemnn", {})):
        core = core_of(name, **options)
        core.resize(MORE)
        assert core.horizon == MORE


@pytest.mark.parametrize(
    ("name", "options", "slots", "expected"),
    [
        ("ntm", {"memory_init": "learned"}, 7, "memory_init=learned made a row for each of 5"),
        ("ntm", {"memory_init": "random"}, 7, "memory_init=random made a row for each of 5"),
        ("ntm", {"shift_range": 0}, 7, "with shift_range=0 new slots would stay equal"),
        ("ntm", {}, 2, "shift_range is 1; allowed: at most 0 with 2 slots"),
        ("memnn", {"write": "gated"}, 7, "write=gated learns a preference for each of 5"),
        ("memnn", {"read": "topk", "topk": 4}, 3, "topk is 4; allowed: at most slots, 3"),
        ("kvmemnn", {"lag": 3}, 3, "lag is 3; allowed: below slots, 3"),
        ("sam", {"neighbours": 4}, 3, "neighbours is 4; allowed: at most slots, 3"),
        ("dnc", {}, 0, "slots is 0, allowed: at least 1"),
    ],
)
def test_a_number_that_the_options_do_not_allow(name, options, slots, expected):
    core = core_of(name, **options)
    before = states.flatten(core.initial_state(B))
    with pytest.raises(ValueError, match=expected):
        core.resize(slots)
    assert core.slots == N
    after = states.flatten(core.initial_state(B))
    assert all(torch.equal(after[leaf], before[leaf]) for leaf in before)


def test_other_memories_say_who_can():
    with pytest.raises(ValueError, match=r"of a LSTM does not change after training \(allowed: th"):
        resize(memory.build("lstm", IN_DIM), 7)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"grow": N}, "grow is 5; allowed: above slots, 5, or null"),
        ({"grow_above": 0.5}, "grow_above=0.5 is not read by grow=null"),
        ({"grow": 7, "memory_init": "learned"}, "memory_init=learned made a row for each"),
        ({"grow": 7, "shift_range": 0}, "with shift_range=0"),
    ],
)
def test_growth_that_could_not_happen_is_refused_at_once(options, expected):
    with pytest.raises(ValueError, match=expected):
        core_of("ntm", **options)


def grown(most=MORE, above=0.6):
    core = core_of("ntm", grow=most, grow_above=above)
    optimizer = torch.optim.Adam(core.parameters())
    core(inputs(), core.initial_state(B), no_start()).y.sum().backward()
    optimizer.step()
    return core, optimizer, Growth(core, optimizer)


def test_slots_double_after_enough_full_iterations_in_a_row_up_to_the_limit():
    core, _, growth = grown()
    seen = []
    for used in [0.7] * (PATIENCE - 1) + [0.6] + [0.7] * 3 * PATIENCE:
        growth.update(used)
        seen.append(core.slots)
    assert seen == [N] * (2 * PATIENCE - 1) + [2 * N] * PATIENCE + [MORE] * (PATIENCE + 1)


def test_moments_of_what_was_extended_are_kept_and_new_ones_are_zero():
    core, optimizer, growth = grown()
    weights = core.first_weights
    before = optimizer.state[weights]["exp_avg"].clone()
    for _ in range(PATIENCE):
        growth.update(1.0)
    after = optimizer.state[weights]["exp_avg"]
    assert weights.shape == after.shape == (3, 2 * N)
    assert torch.equal(after[:, :N], before)
    assert not after[:, N:].any()
    core(inputs(), core.initial_state(B), no_start()).y.sum().backward()
    optimizer.step()
    assert weights.isfinite().all()


def test_a_growth_goes_on_where_it_was_saved():
    one, _, first = grown()
    for _ in range(PATIENCE + 2):
        first.update(1.0)
    two, _, second = grown()
    second.load_state_dict(first.state_dict())
    assert two.slots == one.slots == 2 * N
    for _ in range(PATIENCE - 2):
        assert first.update(1.0) == second.update(1.0)
    assert two.slots == one.slots == MORE
