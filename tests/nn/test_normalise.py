"""Running statistics equal those of everything seen at once."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.nn.normalise import RunningNorm


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(0, 1000))
def test_batches_merge_to_the_statistics_of_all_valid_rows(sizes, seed):
    g = torch.Generator().manual_seed(seed)
    norm = RunningNorm(3)
    seen = []
    for n in sizes:
        x = 5 * torch.randn(n, 3, dtype=torch.float64, generator=g) + 2
        valid = torch.rand(n, generator=g) < 0.7
        norm.update(x, valid)
        seen.append(x[valid])
    rows = torch.cat(seen)
    if len(rows):
        torch.testing.assert_close(norm.mean, rows.mean(0))
        torch.testing.assert_close(norm.var, rows.var(0, correction=0))
    assert norm.count == len(rows)


def test_before_the_first_update_nothing_changes():
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(RunningNorm(3)(x), x)


def test_inverse_undoes_the_map():
    norm = RunningNorm(2, clip=None)
    norm.update(torch.randn(11, 2, dtype=torch.float64) * 7 + 3, torch.ones(11, dtype=torch.bool))
    x = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(norm.inverse(norm(x)), x)
