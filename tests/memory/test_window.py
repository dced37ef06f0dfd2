"""Reading a window of the last inputs is what plain loops over its definition give."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.ops.attention import skew
from memrl.memory.ops.window import band, compare, look_back, read, weigh, windows

T, B, N, I = 5, 3, 7, 2  # noqa: E741
S = N + T - 1
AGE = torch.tensor([[0, 1, 2, 0, 1], [9, 10, 11, 12, 13], [4, 5, 6, 7, 8]]).double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_a_step_looks_back_on_what_came_before_it_and_not_on_itself():
    past, x = rand(B, N, I), rand(B, T, I)
    seen = look_back(past, x, AGE)
    everything = torch.cat([past, x], dim=1)
    torch.testing.assert_close(seen.items, everything[:, :S], rtol=0, atol=0)
    assert not seen.nonfinite.any()
    for b in range(B):
        for t in range(T):
            for n in range(N):
                assert seen.visible[b, t, n] == (N - n <= AGE[b, t])


def test_compare_takes_the_products_with_the_items_before_a_step():
    queries, items = rand(B, T, I), rand(B, S, I)
    got = compare(queries, items)
    assert got.shape == (B, T, N)
    for b in range(B):
        for t in range(T):
            for n in range(N):
                torch.testing.assert_close(got[b, t, n], queries[b, t] @ items[b, t + n])


def test_read_sums_the_items_before_a_step():
    weights, items = rand(B, T, N), rand(B, S, I)
    got = read(weights, items)
    for b in range(B):
        for t in range(T):
            want = sum(weights[b, t, n] * items[b, t + n] for n in range(N))
            torch.testing.assert_close(got[b, t], want)


def test_windows_lay_the_items_before_a_step_side_by_side():
    items = rand(B, S, I)
    got = windows(items, N)
    assert got.shape == (B, T, N, I)
    for t in range(T):
        torch.testing.assert_close(got[:, t], items[:, t : t + N], rtol=0, atol=0)


def test_band_undoes_skew_which_is_zero_elsewhere():
    placed = 1 + rand(B, T, N).abs()
    wide = skew(placed.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(band(wide), placed, rtol=0, atol=0)
    assert int(wide.count_nonzero()) == B * T * N


def test_weights_are_a_softmax_over_what_is_visible_and_zero_where_nothing_is():
    logits = rand(B, T, N)
    visible = look_back(rand(B, N, I), rand(B, T, I), AGE).visible
    got = weigh(logits, visible)
    for b in range(B):
        for t in range(T):
            shown = min(int(AGE[b, t]), N)
            assert not got[b, t, : N - shown].any()
            want = logits[b, t, N - shown :].softmax(dim=0)
            torch.testing.assert_close(got[b, t, N - shown :], want)


def test_the_gradient_of_weights_over_nothing_is_zero():
    logits = rand(1, 1, N).requires_grad_()
    weigh(logits, torch.zeros(1, 1, N, dtype=torch.bool)).sum().backward()
    assert not logits.grad.any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_taken_out_and_named_to_who_would_see_it(value):
    past, x = rand(B, N, I), rand(B, T, I)
    past[1, 4, 0], x[2, 1, 1] = value, value  # steps −3 and 1
    seen = look_back(past, x, AGE)
    assert seen.items.isfinite().all()
    assert not seen.items[1, 4].any()
    want = torch.zeros(B, T, dtype=torch.bool)
    want[1], want[2, 2:] = True, True  # row 1: five steps later it is still in the window of seven
    assert torch.equal(seen.nonfinite, want)


def test_a_single_step_is_told_of_a_nan_of_its_own_episode():
    past, x, age = rand(B, N, I), rand(B, 1, I), torch.tensor([[2.0], [7.0], [7.0]]).double()
    past[0, 5, 1] = past[1, 0, 0] = torch.nan
    assert look_back(past, x, age).nonfinite.flatten().tolist() == [True, True, False]


def test_reading_has_the_gradient_of_finite_differences():
    queries, items = rand(2, 3, 2).requires_grad_(), rand(2, 7, 2).requires_grad_()
    visible = torch.arange(5, 0, -1) <= torch.tensor([[0, 1, 2], [3, 4, 9]]).unsqueeze(-1)

    def look(q, e):
        return read(weigh(compare(q, e), visible), e)

    assert torch.autograd.gradcheck(look, (queries, items))
