"""The row table is the package's sweep, cell by cell."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memrl.envs.minigrid.visibility import row_table, visible


def swept(clear: Tensor) -> Tensor:
    """Plain loops: light from the middle of the last row; ``clear`` is [column, row]."""
    size = len(clear)
    lit = torch.zeros(size, size, dtype=torch.bool)
    lit[size // 2, size - 1] = True
    for row in range(size - 1, -1, -1):
        there_and_back = [(i, i + 1) for i in range(size - 1)]
        there_and_back += [(i, i - 1) for i in range(size - 1, 0, -1)]
        for here, beside in there_and_back:
            if lit[here, row] and clear[here, row]:
                lit[beside, row] = True
                if row > 0:
                    lit[beside, row - 1] = lit[here, row - 1] = True
    return lit


def by_table(clear: Tensor) -> Tensor:
    return visible(clear, row_table(clear.shape[-1]))


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("density", [0.3, 0.6, 0.9])
def test_light_spreads_as_the_plain_sweep_says(size: int, density: float):
    generator = torch.Generator().manual_seed(size)
    clear = torch.rand(67, size, size, generator=generator) < density
    want = torch.stack([swept(one) for one in clear])
    assert torch.equal(by_table(clear), want)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**25 - 1))
def test_light_spreads_as_the_plain_sweep_says_on_any_view(bits: int):
    clear = torch.tensor([bits >> i & 1 for i in range(25)]).bool().view(5, 5)
    assert torch.equal(by_table(clear[None])[0], swept(clear))


def test_every_view_of_width_3_is_right():
    clear = torch.cartesian_prod(*[torch.tensor([False, True])] * 9).view(-1, 3, 3)
    assert torch.equal(by_table(clear), torch.stack([swept(one) for one in clear]))
