"""A sequence in pieces: the state handed over, rows reset, NaN kept inside its episode."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memrl.memory.core import MemoryCore
from memrl.memory.ops.spoiled import spoiled_so_far, without_spoiled
from memrl.memory.parts.pieces import PIECE, in_pieces

B, K = 3, 2


class Sum(NamedTuple):
    total: Tensor  # [B, K]


class Sums(MemoryCore[Sum]):
    """The sum of all inputs since the start of a piece, of whatever episode, and of the state."""

    def __init__(self):
        super().__init__(K, K)
        self.lengths = []

    def initial_state(self, batch_size):
        return Sum(torch.zeros(batch_size, K, dtype=torch.float64))

    def _update(self, x, state):
        return state.total + x, Sum(state.total + x)

    def piece(self, x, state, start):
        self.lengths.append(len(x))
        return x.cumsum(0) + state.total, Sum(state.total + x.sum(0))


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length):
    return torch.zeros(length, B, dtype=torch.bool)


def test_a_long_sequence_is_taken_in_pieces_that_hand_the_state_over():
    core, x = Sums(), rand(2 * PIECE + 5, B, K)
    y, state = in_pieces(core, core.piece, x, core.initial_state(B), never(len(x)))
    assert core.lengths == [PIECE, PIECE, 5]
    torch.testing.assert_close(y, x.cumsum(0))
    torch.testing.assert_close(state.total, x.sum(0))


def test_rows_that_start_with_a_piece_are_reset():
    core, x, start = Sums(), rand(PIECE + 5, B, K), never(PIECE + 5)
    start[0, 0] = start[PIECE, 1] = True
    state = Sum(rand(B, K))
    y, _ = in_pieces(core, core.piece, x, state, start)
    torch.testing.assert_close(y[0], x[0] + torch.where(start[0, :, None], 0, state.total))
    torch.testing.assert_close(y[PIECE, 1], x[PIECE, 1])


def test_nan_stays_in_its_episode_though_a_piece_adds_up_all_steps():
    core, x, start = Sums(), rand(7, B, K), never(7)
    x[2, 0], x[3, 1, 1] = torch.nan, torch.inf
    start[4, 0] = start[5, 2] = True
    state = Sum(torch.where(torch.arange(B).view(B, 1) == 2, torch.nan, rand(B, K)))
    y, after = in_pieces(core, core.piece, x, state, start)
    rows = y.isnan().all(-1).T.tolist()
    assert rows[0] == [False, False, True, True, False, False, False]
    assert rows[1] == [False, False, False, True, True, True, True]
    assert rows[2] == [True, True, True, True, True, False, False]
    assert after.total.isnan().all(-1).tolist() == [False, True, False]


def test_spoiled_vectors_are_zeros_and_named():
    x = torch.tensor([[1.0, 2.0], [torch.inf, 0.0], [3e38, 3e38], [torch.nan, 1.0]])
    clean, spoiled = without_spoiled(x)
    assert clean.tolist() == [x[0].tolist(), [0, 0], x[2].tolist(), [0, 0]]
    assert spoiled.tolist() == [False, True, False, True]


def test_what_an_episode_has_seen_matches_a_loop():
    generator = torch.Generator().manual_seed(0)
    spoiled, start = (torch.rand(11, 13, generator=generator) < 0.2 for _ in range(2))
    before = torch.rand(13, generator=generator) < 0.5
    got = spoiled_so_far(spoiled, before, start)
    for b in range(13):
        seen = bool(before[b])
        for t in range(11):
            seen = bool(spoiled[t, b]) or (seen and not start[t, b])
            assert bool(got[t, b]) == seen
