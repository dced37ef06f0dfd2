"""Rollouts and chunks: every step counts once, states are those of the chunk's first step."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memrl.envs.make import make
from memrl.rollout.minibatches import equal_shares, of_size, spans_of_shares
from memrl.rollout.storage import Rollout, Spans


class Clock(NamedTuple):
    t: Tensor  # [B]


def filled(steps, bptt, burn_in, rows=3):
    env = make("probe/Recall-v0", rows)
    rollout = Rollout(
        env,
        Clock(torch.zeros(rows)),
        steps=steps,
        bptt=bptt,
        burn_in=burn_in,
        action=torch.zeros(rows, dtype=torch.int64),
    )
    for t in range(steps):
        stamp = torch.arange(rows) * 100 + t  # which step and row this is
        obs = {"obs": stamp}
        rollout.put_observation(t, obs, torch.zeros(rows, dtype=torch.bool), Clock(stamp.float()))
        rollout.action[t] = stamp
    return rollout


def cut(rollout, shares):
    return [rollout.gather(spans, spans.longest()) for spans in shares]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 6), st.integers(1, 30))
def test_every_step_carries_a_loss_exactly_once(stride, burn_in, steps):
    rollout = filled(steps, stride + burn_in, burn_in)
    chunk = rollout.chunks(torch.arange(rollout.num_chunks()))
    counted = sorted(chunk.action[chunk.valid].tolist())
    assert counted == sorted(b * 100 + t for b in range(3) for t in range(steps))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 6), st.integers(1, 30), st.integers(1, 100))
def test_minibatches_of_a_size_hold_so_many_steps_and_every_step_once(stride, burn_in, steps, size):
    rollout = filled(steps, stride + burn_in, burn_in)
    chunks = cut(rollout, of_size(rollout, size, torch.Generator().manual_seed(1)))
    sizes = [int(chunk.valid.sum()) for chunk in chunks]
    total = 3 * steps
    assert sizes == [size] * (total // size) + [total % size] * (total % size > 0)
    counted = [step for chunk in chunks for step in chunk.action[chunk.valid].tolist()]
    assert sorted(counted) == sorted(b * 100 + t for b in range(3) for t in range(steps))


def test_minibatches_of_whole_chunks_are_equal_shares_of_them():
    rollout = filled(20, 5, 0)
    by_size = cut(rollout, of_size(rollout, 15, torch.Generator().manual_seed(7)))
    shares = cut(rollout, equal_shares(rollout, 4, torch.Generator().manual_seed(7)))
    for a, b in zip(by_size, shares, strict=True):
        assert torch.equal(a.action, b.action)
        assert torch.equal(a.valid, b.valid)
        assert torch.equal(a.state.t, b.state.t)


def test_shares_of_one_shape_are_the_shares_with_chunks_of_nothing_valid():
    rollout = filled(13, 5, 2)  # chunks of 5 and 4 steps
    assert rollout.num_chunks() == 12
    padded = spans_of_shares(rollout, 5, torch.Generator().manual_seed(7))
    assert padded.shape == (5, 5, 3)
    shares = cut(rollout, equal_shares(rollout, 5, torch.Generator().manual_seed(7)))
    for spans, share in zip(padded, shares, strict=True):
        chunk, (L, M) = rollout.gather(Spans(*spans), 5), share.start.shape
        assert chunk.valid.sum() == share.valid.sum()
        assert torch.equal(chunk.valid[:L, :M], share.valid)
        assert torch.equal(chunk.action[:L, :M], share.action)
        assert torch.equal(chunk.state.t[:M], share.state.t)


def test_the_last_chunk_of_a_row_is_as_long_as_what_is_left():
    rollout = filled(13, 5, 0)
    assert rollout.chunk_starts == [0, 5, 10]
    last = rollout.chunks(torch.tensor([6, 7, 8]))
    assert last.action.tolist() == [[10, 110, 210], [11, 111, 211], [12, 112, 212]]
    mixed = rollout.chunks(torch.tensor([0, 8]))
    assert mixed.valid.sum(0).tolist() == [5, 3]
    assert filled(3, 5, 0).chunks(torch.tensor([0])).action.flatten().tolist() == [0, 1, 2]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(9)))
def test_chunks_are_whole_and_begin_with_their_own_state(order):
    rollout = filled(15, 5, 0)
    chunk = rollout.chunks(torch.tensor(order))
    assert chunk.action.shape == (5, 9)
    assert (chunk.action.diff(dim=0) == 1).all()
    assert torch.equal(chunk.state.t, chunk.action[0].float())
    assert torch.equal(chunk.obs["obs"], chunk.action)


def test_storage_grows_with_chunks_not_with_steps():
    rollout = filled(30, 10, 0)
    assert rollout.states.t.shape == (3, 3)


def test_a_burn_in_leaves_steps_with_a_loss():
    with pytest.raises(ValueError, match="burn_in is 5; allowed: from 0, below bptt 5"):
        filled(5, 5, 5)


def test_an_invalid_row_ends_what_flows_back():
    rollout = filled(5, 5, 0)
    rollout.valid[2, 1] = False
    assert rollout.ended.nonzero().tolist() == [[2, 1]]
