"""Memories that look back on the last N inputs: what a NaN among these does, and what lasts."""

from __future__ import annotations

import pytest
import torch

from memrl import memory
from memrl.testing.core_contract import a_long_run_stays_finite
from tests.support.window_runs import B, D, I, N, T, never

PAST = [
    ("memn2n", {"init_std": 0.5}),
    ("kvmemnn", {"init_std": 0.5}),
    ("kvmemnn", {"lag": 1}),
    ("pointer", {"key_dim": D}),
    ("dmn", {"word_dim": D}),
    ("dnd", {"key_dim": D}),
    ("dnd", {"key_dim": D, "neighbours": 3}),
]
every_memory = pytest.mark.parametrize(("name", "options"), PAST, ids=str)


def build(name, options):
    return memory.build(name, I, {"slots": N, "hidden_dim": D, **options})


@every_memory
def test_a_nan_is_read_in_its_own_episode_and_row_alone(name, options):
    core, x, start = build(name, options), torch.randn(T, B, I), never()
    x[1, 0, 2] = torch.nan
    start[4, 0] = True
    y = core(x, core.initial_state(B), start).y
    broken = y.isnan()
    assert broken.any(dim=-1)[:, 0].tolist() == [False, *[True] * 3, *[False] * 7]
    assert broken[2:4, 0].all()
    assert not broken[:, 1:].any()


@every_memory
def test_after_a_nan_an_episode_is_as_good_as_new(name, options):
    core, x, start = build(name, options).double(), torch.randn(T, B, I).double(), never()
    x[1, 0, 2] = torch.nan
    start[4, 0] = True
    y = core(x, core.initial_state(B), start).y
    fresh = core(x[4:], core.initial_state(B), never()[4:]).y
    torch.testing.assert_close(y[4:, 0], fresh[:, 0])


@every_memory
def test_a_step_reads_the_nan_that_its_sequence_reads(name, options):
    core, x = build(name, options).double(), torch.randn(T, B, I).double()
    x[2, 1, 0], x[3, 2, 0] = torch.nan, torch.inf
    state, want = core.initial_state(B), core(x, core.initial_state(B), never()).y
    for t in range(T):
        y, state = core.step(x[t], state, never()[t])
        torch.testing.assert_close(y, want[t], equal_nan=True)


@pytest.mark.parametrize(("name", "options"), [("kvmemnn", {"lag": 1}), ("dnd", {"neighbours": 3})])
def test_what_the_contract_asks_of_defaults_lasts_with_other_options(name, options):
    a_long_run_stays_finite(memory.build(name, I, {"slots": N, **options}))
