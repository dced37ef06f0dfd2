"""Matrix memories: a sequence in chunks equals its steps, and NaN stays in its episode."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from memrl import memory
from memrl.memory.ops.nonfinite import nonfinite_so_far, without_nonfinite
from memrl.memory.parts.matrix import CHUNK, MatrixMemory

B, K, IN = 3, 2, 5
MATRICES = [
    ("fart", {}),
    ("fart", {"feature_map": "shares"}),
    ("mlstm", {}),
    ("deltanet", {}),
    ("deltanet", {"gated": True}),
]
every_memory = pytest.mark.parametrize(("name", "options"), MATRICES, ids=str)


class Sum(NamedTuple):
    total: Tensor  # [B, K]


class Sums(MatrixMemory[Sum]):
    """The sum of all inputs since the start of a chunk, of whatever episode, and of the state."""

    def __init__(self):
        super().__init__(K, hidden_dim=K, heads=1, head_dim=K, parts=[])
        self.lengths = []

    def initial_state(self, batch_size):
        return Sum(torch.zeros(batch_size, K, dtype=torch.float64))

    def _update(self, x, state):
        return state.total + x, Sum(state.total + x)

    def _attend(self, x, state, start):
        self.lengths.append(len(x))
        return x.cumsum(0) + state.total, Sum(state.total + x.sum(0))


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length):
    return torch.zeros(length, B, dtype=torch.bool)


def build(name, options):
    core = memory.build(name, IN, {"heads": 2, "head_dim": 11, "hidden_dim": 13, **options})
    if name == "mlstm":
        with torch.no_grad():
            core.gates.weight.normal_()  # else every step has the same gates
    return core


def test_a_long_sequence_is_taken_in_chunks_that_hand_the_state_over():
    core, x = Sums(), rand(2 * CHUNK + 5, B, K)
    y, state, _ = core(x, core.initial_state(B), never(len(x)))
    assert core.lengths == [CHUNK, CHUNK, 5]
    torch.testing.assert_close(y, x.cumsum(0))
    torch.testing.assert_close(state.total, x.sum(0))


def test_rows_that_start_with_a_chunk_are_reset():
    core, x, start = Sums(), rand(CHUNK + 5, B, K), never(CHUNK + 5)
    start[0, 0] = start[CHUNK, 1] = True
    state = Sum(rand(B, K))
    y = core(x, state, start).y
    torch.testing.assert_close(y[0], x[0] + torch.where(start[0, :, None], 0, state.total))
    torch.testing.assert_close(y[CHUNK, 1], x[CHUNK, 1])


def test_nan_stays_in_its_episode_though_a_chunk_adds_up_all_steps():
    core, x, start = Sums(), rand(7, B, K), never(7)
    x[2, 0], x[3, 1, 1] = torch.nan, torch.inf
    start[4, 0] = start[5, 2] = True
    state = Sum(torch.where(torch.arange(B).view(B, 1) == 2, torch.nan, rand(B, K)))
    y, after, _ = core(x, state, start)
    rows = y.isnan().all(-1).T.tolist()
    assert rows[0] == [False, False, True, True, False, False, False]
    assert rows[1] == [False, False, False, True, True, True, True]
    assert rows[2] == [True, True, True, True, True, False, False]
    assert after.total.isnan().all(-1).tolist() == [False, True, False]


def test_vectors_that_are_not_finite_become_zeros_and_are_marked():
    x = torch.tensor([[1.0, 2.0], [torch.inf, 0.0], [3e38, 3e38], [torch.nan, 1.0]])
    clean, nonfinite = without_nonfinite(x)
    assert clean.tolist() == [x[0].tolist(), [0, 0], x[2].tolist(), [0, 0]]
    assert nonfinite.tolist() == [False, True, False, True]


def test_what_an_episode_has_seen_matches_a_loop():
    generator = torch.Generator().manual_seed(0)
    nonfinite, start = (torch.rand(11, 13, generator=generator) < 0.2 for _ in range(2))
    before = torch.rand(13, generator=generator) < 0.5
    got = nonfinite_so_far(nonfinite, before, start)
    for b in range(13):
        seen = bool(before[b])
        for t in range(11):
            seen = bool(nonfinite[t, b]) or (seen and not start[t, b])
            assert bool(got[t, b]) == seen


@every_memory
def test_a_sequence_longer_than_a_chunk_equals_its_steps(name, options):
    core = build(name, options).double()
    x = rand(131, B, IN)
    start = torch.rand(131, B) < 0.02
    state, ys = core.initial_state(B), []
    for t in range(len(x)):
        y, state = core.step(x[t], state, start[t])
        ys.append(y)
    got = core(x, core.initial_state(B), start)
    torch.testing.assert_close(got.y, torch.stack(ys))
    torch.testing.assert_close(got.state, state)


@every_memory
def test_extreme_inputs_stay_finite_with_their_gradients(name, options):
    core = build(name, options)
    x = torch.randn(7, B, IN) * torch.tensor([0.0, 1e4, 1.0]).view(1, B, 1)
    core(x, core.initial_state(B), never(7)).y.sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())
