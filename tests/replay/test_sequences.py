"""Sequence replay: what is drawn is what happened, from the state that was there."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memrl.replay.sequences import SequenceReplay, Shape

B, W = 3, 2


class Core(NamedTuple):
    """A state that says which step it stood before."""

    h: Tensor  # [B, W]
    count: Tensor  # int64 [B]


def step(t: int) -> dict[str, Tensor]:
    """Entries that say which step and copy they are of."""
    name = 100 * t + torch.arange(B)
    return {"name": name, "wide": name.double().unsqueeze(1).expand(-1, W)}


def core(t: int) -> Core:
    name = 100 * t + torch.arange(B)
    return Core(name.float().unsqueeze(1).expand(-1, W), name)


def build(capacity: int = 36, length: int = 5, stride: int = 2, alpha: float = 1.0, **options):
    return SequenceReplay(capacity, Shape(length, stride), step(0), core(0), alpha=alpha, **options)


def fill(replay: SequenceReplay, steps: int) -> SequenceReplay:
    for t in range(replay.time, replay.time + steps):
        replay.keep(core(t))
        replay.add(step(t))
    return replay


def drawn(replay: SequenceReplay, count: int = 64, seed: int = 0):
    return replay.sample(count, torch.Generator().manual_seed(seed), beta=1.0)


def alive_in_a_loop(steps: int, span: int, length: int, stride: int) -> list[int]:
    """Times at which a drawable sequence begins."""
    return [s for s in range(0, steps, stride) if s + length <= steps and s >= steps - span]


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(0, 40), length=st.integers(1, 7), stride=st.integers(1, 4))
def test_a_sequence_can_be_drawn_while_all_of_its_steps_are_held(steps, length, stride):
    replay = fill(build(capacity=11 * B, length=length, stride=stride), steps)
    alive = alive_in_a_loop(steps, replay.span, length, stride)
    assert len(replay) == len(alive) * B
    if alive:
        batch = drawn(replay, 200)
        assert set(batch.time[0].tolist()) <= set(alive)
        assert {int(t) for t in batch.time[0]} == set(alive)
    else:
        assert float(replay.tree.total) == 0.0


@pytest.mark.parametrize("steps", [5, 12, 13, 29])
def test_what_is_drawn_is_what_happened(steps):
    batch = drawn(fill(build(), steps))
    name = 100 * batch.time + batch.env
    assert torch.equal(batch.time, batch.time[0] + torch.arange(5).unsqueeze(1))
    assert torch.equal(batch.steps["name"], name)
    assert torch.equal(batch.steps["wide"], name.double().unsqueeze(2).expand(-1, -1, W))


@pytest.mark.parametrize("steps", [5, 12, 13, 29])
def test_the_state_is_the_one_before_the_first_step(steps):
    batch = drawn(fill(build(), steps))
    assert torch.equal(batch.state.count, batch.steps["name"][0])
    assert torch.equal(batch.state.h[:, 0], batch.state.count.float())


def test_states_are_kept_at_strides_only():
    assert len(build(capacity=36, stride=2).states.arrays["h"]) == 36 // B // 2


def test_a_kept_state_does_not_change_when_the_core_edits_its_own():
    replay, state = build(length=1, stride=1), core(7)
    state = Core(state.h.clone(), state.count.clone())
    replay.keep(state)
    state.count.zero_()
    replay.add(step(7))
    assert drawn(replay, 3).state.count.tolist() == [700, 701, 702]


def test_new_sequences_have_the_highest_priority_so_far():
    replay = fill(build(), 6)  # one sequence a copy
    assert replay.tree.priorities.tolist().count(1.0) == B
    replay.update(torch.tensor([0]), torch.tensor([9.0]))
    fill(replay, 1)
    assert sorted(replay.tree.priorities.tolist())[-4:] == [9.0] * 4


def test_a_sequence_that_was_drawn_twice_has_the_larger_of_its_priorities():
    for twice in ([5.0, 2.0], [2.0, 5.0]):
        replay = fill(build(), 5)
        replay.update(torch.tensor([1, 0, 1]), torch.tensor([twice[0], 3.0, twice[1]]))
        assert replay.tree.priorities[:B].tolist() == [3.0, 5.0, 1.0]


def test_chances_and_weights_follow_the_priorities():
    replay = fill(build(alpha=0.5), 5)
    replay.update(torch.arange(B), torch.tensor([1.0, 4.0, 9.0]))
    batch = drawn(replay, 600)
    assert batch.number.bincount().tolist() == pytest.approx([100, 200, 300], abs=2)
    # chance 1/6, 2/6, 3/6 of N = 3, beta = 1, over the largest
    want = torch.tensor([1.0, 1 / 2, 1 / 3], dtype=torch.float64)[batch.number]
    torch.testing.assert_close(batch.weight, want)


def test_weights_are_to_the_power_of_beta():
    replay = fill(build(), 5)
    replay.update(torch.arange(B), torch.tensor([1.0, 2.0, 3.0]))
    batch = replay.sample(60, torch.Generator().manual_seed(0), beta=0.5)
    want = (1.0 + batch.number.double()) ** -0.5
    torch.testing.assert_close(batch.weight, want)


def test_without_alpha_all_are_drawn_alike_and_weigh_the_same():
    replay = fill(build(alpha=0.0), 5)
    replay.update(torch.arange(B), torch.tensor([1.0, 400.0, 0.0]))
    batch = drawn(replay, 300)
    assert batch.number.bincount().tolist() == pytest.approx([100, 100, 100], abs=2)
    assert (batch.weight == 1).all()


def test_a_sequence_without_error_is_still_drawn():
    replay = fill(build(), 5)
    replay.update(torch.arange(B), torch.zeros(B))
    assert drawn(replay, 30).number.unique().tolist() == [0, 1, 2]


def test_refreshing_replaces_the_states_inside_of_drawn_sequences():
    replay = fill(build(length=5, stride=2), 29)
    batch = drawn(replay, 4, seed=2)
    keep = torch.tensor([True, False, True, True])
    state = Core(torch.full((4, W), -1.0), -batch.time[2])
    change = replay.refresh(batch, 2, state, keep)
    assert change > 0
    again = drawn(replay, 400)
    inside = {(int(t), int(c)) for t, c, k in zip(batch.time[2], batch.env, keep, strict=True) if k}
    seen = set()
    for m, (t, c) in enumerate(zip(again.time[0].tolist(), again.env.tolist(), strict=True)):
        want = -t if (t, c) in inside else 100 * t + c
        assert int(again.state.count[m]) == want
        seen.add((t, c))
    assert seen & inside


def test_a_sequence_that_was_drawn_twice_is_refreshed_if_one_of_the_two_is_kept():
    """The other one, of a replaced goal, does not write the old state over the new one."""
    for keep in ([True, False], [False, True]):
        replay = fill(build(length=5, stride=2), 29)
        batch = drawn(replay, 2, seed=2)
        twice = batch._replace(
            time=batch.time[:, :1].expand(-1, 2), env=batch.env[:1].expand(2)
        )  # one sequence
        new = torch.full((2, W), -1.0), torch.tensor([-7, -7])
        replay.refresh(twice, 2, Core(*new), torch.tensor(keep))
        slot = int(twice.time[2, 0]) // 2 % replay._slots
        leaves = [leaf[slot, int(twice.env[0])] for leaf in replay.states.arrays.values()]
        assert [leaf.flatten().unique().tolist() for leaf in leaves] == [[-1.0], [-7]]


def test_a_memory_without_a_state_needs_none():
    replay = SequenceReplay(30, Shape(3, 1), step(0), (), alpha=1.0)
    fill_ = [replay.keep(()) or replay.add(step(t)) for t in range(7)]
    assert len(fill_) == 7
    assert drawn(replay, 5).state == ()


@pytest.mark.parametrize("steps", [0, 4, 5, 29])
def test_saving_and_loading_continues_bit_for_bit(steps):
    one, two = fill(build(), steps), build()
    if steps > 5:
        one.update(torch.arange(4), torch.rand(4))
    two.load_state_dict(one.state_dict())
    fill(one, 7), fill(two, 7)
    a, b = drawn(one), drawn(two)
    assert torch.equal(a.number, b.number)
    assert torch.equal(a.weight, b.weight)
    assert torch.equal(a.steps["name"], b.steps["name"])
    assert torch.equal(a.state.count, b.state.count)


def test_a_replay_too_small_for_its_sequences_says_how_large_it_must_be():
    sentence = (
        r"12 steps, 4 for each of 3 environments, but a sequence takes 5; allowed: .* 18 steps"
    )
    with pytest.raises(ValueError, match=sentence):
        build(capacity=12)
    assert build(capacity=18).span == 6


def test_a_replay_of_another_capacity_is_refused_and_nothing_is_changed():
    replay = fill(build(), 9)
    before = drawn(replay).steps["name"]
    with pytest.raises(ValueError, match="the saved replay has capacity 16; allowed: 12"):
        replay.load_state_dict(fill(build(capacity=48), 30).state_dict())
    assert torch.equal(drawn(replay).steps["name"], before)


def test_a_replay_of_another_memory_is_refused():
    other = SequenceReplay(36, Shape(5, 2), step(0), (), alpha=1.0)
    with pytest.raises(ValueError, match="the saved replay belongs to another memory"):
        build().load_state_dict(other.state_dict())
