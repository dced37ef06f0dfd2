"""Rollouts and chunks: every step counts once, states are those of the chunk's first step."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memrl.envs.make import make
from memrl.rollout.storage import Rollout


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


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 6), st.integers(1, 4))
def test_every_step_carries_a_loss_exactly_once(stride, burn_in, count):
    bptt = stride + burn_in
    steps = bptt + (count - 1) * stride
    rollout = filled(steps, bptt, burn_in)
    chunk = rollout.chunks(torch.arange(rollout.num_chunks()))
    counted = sorted(chunk.action[chunk.valid].tolist())
    assert counted == sorted(b * 100 + t for b in range(3) for t in range(steps))


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


def test_steps_that_chunks_do_not_cover_are_refused_with_the_nearest_that_they_do():
    with pytest.raises(ValueError, match=r"13 steps are not covered.*bptt 5 with burn_in 2; 14"):
        filled(13, 5, 2)
    with pytest.raises(ValueError, match="burn_in is 5; allowed: from 0, below bptt 5"):
        filled(5, 5, 5)


def test_an_invalid_row_ends_what_flows_back():
    rollout = filled(5, 5, 0)
    rollout.valid[2, 1] = False
    assert rollout.ended.nonzero().tolist() == [[2, 1]]
