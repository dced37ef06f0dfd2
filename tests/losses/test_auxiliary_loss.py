"""Which steps have another step of their episode to predict, against plain loops."""

from __future__ import annotations

import pytest
import torch

from memrl.losses.auxiliary import has_partner

T, B = 11, 5


def flags(seed: int, share: float) -> torch.Tensor:
    return torch.rand(T, B, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("offset", [0, 1, 2, -1, -3, -7, 13, -13])
def test_a_partner_lies_in_the_sequence_and_in_the_same_episode(offset):
    start, valid = flags(0, 0.2), flags(1, 0.9)
    known = has_partner(start, valid, offset)
    for t in range(T):
        for b in range(B):
            first, last = sorted((t, t + offset))
            inside = first >= 0 and last < T
            same = inside and not start[first + 1 : last + 1, b].any()
            want = same and bool(valid[t, b]) and bool(valid[max(t, last), b])
            assert bool(known[t, b]) == want
    assert offset < -T or offset > T or known.any()


def test_a_partner_in_the_burn_in_counts_though_it_has_no_loss_itself():
    start, valid = torch.zeros(5, 1, dtype=torch.bool), torch.ones(5, 1, dtype=torch.bool)
    valid[:2] = False
    assert has_partner(start, valid, -2).flatten().tolist() == [False, False, True, True, True]
