"""Cutting a minibatch at episode starts changes its shape and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from suites import MEMORIES
from torch import Tensor

from memrl import memory
from memrl.memory.registry import schema
from memrl.rollout.packing import by_episode
from memrl.rollout.storage import Chunk

L, M, DIM = 7, 3, 2
SMALL = {"hidden_dim": 5, "slots": 5, "word_dim": 3, "frames": 3}
starts = st.lists(st.booleans(), min_size=L * M, max_size=L * M)


def chunk(core, start, valid=None):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    number = torch.arange(L * M, dtype=torch.float64).view(L, M)
    never = torch.zeros(4, M, dtype=torch.bool)
    with torch.no_grad():
        state = core(rand(4, M, DIM), core.initial_state(M), never).state
    start = torch.tensor(start).view(L, M)
    everything = torch.ones_like(start) if valid is None else torch.tensor(valid).view(L, M)
    rest = {name: number for name in ("action", "log_prob", "value", "advantage", "target")}
    return Chunk(obs={"x": rand(L, M, DIM)}, start=start, valid=everything, state=state, **rest)


def loss(core, given_chunk):
    """A number that depends on every valid output differently, and its gradients."""
    y = core(given_chunk.obs["x"], given_chunk.state, given_chunk.start).y
    weight = torch.where(given_chunk.valid, given_chunk.target + 1, 0.0)
    total = (y.cos() * weight.unsqueeze(-1)).sum()
    return total, torch.autograd.grad(total, list(core.parameters()), allow_unused=True)


def build(name):
    options = {key: size for key, size in SMALL.items() if key in schema(name).model_fields}
    torch.manual_seed(1)
    return memory.build(name, DIM, options).double()


@pytest.mark.parametrize("name", MEMORIES)
@settings(max_examples=10, deadline=None)
@given(starts)
def test_losses_and_gradients_are_those_of_the_rows_as_they_were(name, start):
    core = build(name)
    rows = chunk(core, start)
    value, gradients = loss(core, rows)
    packed_value, packed_gradients = loss(core, by_episode(rows))
    torch.testing.assert_close(packed_value, value)
    for a, b in zip(packed_gradients, gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


@settings(max_examples=50, deadline=None)
@given(starts, starts)
def test_every_step_is_there_once_with_all_that_belongs_to_it(start, valid):
    rows = chunk(build("none"), start, valid)
    packed = by_episode(rows)
    assert kept(packed) == kept(rows)


def kept(given_chunk: Chunk) -> list[float]:
    numbers: Tensor = given_chunk.target[given_chunk.valid]
    assert torch.equal(numbers, given_chunk.advantage[given_chunk.valid])
    return sorted(numbers.tolist())


def test_a_row_of_short_episodes_becomes_rows_of_one():
    start = torch.zeros(L, M, dtype=torch.bool)
    start[[2, 4]] = True
    packed = by_episode(chunk(build("gru"), start.flatten().tolist()))
    assert packed.start.shape == (3, 3 * M)
    assert not packed.start[1:].any()
    assert int(packed.valid.sum()) == L * M


def test_many_rows_stay_as_they_are():
    rows = chunk(build("gru"), [False] * (L * M))
    assert by_episode(rows) is rows
