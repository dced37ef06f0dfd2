"""The least recently accessed slot, against a sort of all slots after a thousand accesses."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.ops.recency import accessed_slots, block_shape, least_recent, touch

B, A = 3, 2


@pytest.mark.parametrize("slots", [1, 2, 7, 16, 41])
def test_blocks_hold_every_slot_and_none_is_empty(slots):
    blocks, width = block_shape(slots)
    assert (blocks - 1) * width < slots <= blocks * width
    assert width - 1 <= slots**0.5 <= width


@pytest.mark.parametrize("slots", [1, 2, 7, 16, 41])
def test_the_order_is_that_of_the_last_access_through_a_thousand_of_them(slots):
    last = torch.zeros(B, slots, dtype=torch.long)
    oldest = torch.zeros(B, block_shape(slots)[0], dtype=torch.long)
    known = [[0] * slots for _ in range(B)]
    generator = torch.Generator().manual_seed(0)
    for now in range(1, 1001):
        where = torch.randint(0, slots, (B, A), generator=generator)
        really = torch.rand(B, A, generator=generator) < 0.7
        really[:, 1] = torch.where(where[:, 0] == where[:, 1], really[:, 0], really[:, 1])
        touch(last, oldest, where, really, torch.full((B,), now))
        for b in range(B):
            for slot, was in zip(where[b].tolist(), really[b].tolist(), strict=True):
                known[b][slot] = now if was else known[b][slot]
        first = [min(range(slots), key=lambda slot, row=row: (row[slot], slot)) for row in known]
        assert least_recent(last, oldest).tolist() == first
    assert last.tolist() == known


def test_a_slot_is_accessed_where_the_weights_of_all_heads_together_exceed_the_threshold():
    slots = torch.tensor([[4, 1, 4, 0], [2, 2, 2, 3]])
    weights = torch.tensor([[0.3, 0.4, 0.3, 0.6], [0.1, 0.1, 0.1, 0.5]])
    got = accessed_slots(slots, weights, 0.5)
    assert got.tolist() == [[True, False, True, True], [False, False, False, False]]
