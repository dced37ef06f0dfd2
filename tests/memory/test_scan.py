"""The linear scan is the recurrence, however it is computed."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.ops.scan import (
    back_by_doubling,
    back_one_by_one,
    by_doubling,
    compose,
    linear_scan,
    one_by_one,
)

T, B, N, W = 7, 3, 5, 2


def parts(dtype, length=T):
    a, b = (torch.randn(length, B, N, W, dtype=dtype) for _ in range(2))
    start = torch.zeros(length, B, dtype=torch.bool)
    start[0, 0] = start[2 % length, 1] = start[5 % length, 1] = start[-1, 2] = True
    return a, b, torch.randn(B, N, W, dtype=dtype), start


def loop(a, b, h0, start):
    want = torch.empty_like(b)
    for row in range(b.shape[1]):
        h = h0[row]
        for t in range(len(b)):
            h = (0 * h if start[t, row] else h) * a[t, row] + b[t, row]
            want[t, row] = h
    return want


@pytest.mark.parametrize("length", [1, 2, 7, 16, 37])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("scan", [linear_scan, one_by_one, by_doubling])
def test_a_scan_is_the_recurrence(scan, dtype, length):
    given = parts(dtype, length)
    torch.testing.assert_close(scan(*given), loop(*given))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients_are_those_of_the_recurrence(dtype):
    a, b, h0, start = parts(dtype)
    given = [each.requires_grad_() for each in (a, b, h0)]
    weight = torch.randn(T, B, N, W, dtype=torch.float64)

    def gradients(scan):
        y = scan(*given, start)
        loss = ((y.real + 2 * y.imag if y.is_complex() else y) * weight).sum()
        return torch.autograd.grad(loss, given)

    for got, want in zip(gradients(linear_scan), gradients(loop), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("back", [back_one_by_one, back_by_doubling])
def test_a_scan_backwards_is_the_gradient_of_the_recurrence(back, dtype, length):
    a, b, h0, start = parts(dtype, length)
    dh = torch.randn(length, B, N, W, dtype=dtype)
    (want,) = torch.autograd.grad(loop(a, b.requires_grad_(), h0, start), b, dh)
    torch.testing.assert_close(back(a, dh, start), want)


def test_the_operator_is_associative():
    a, b, _, start = parts(torch.float64)
    x, y, z = ((a[t], b[t], start[t].view(B, 1, 1)) for t in (1, 2, 5))  # the last two restart
    for got, want in zip(compose(compose(x, y), z), compose(x, compose(y, z)), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("scan", [linear_scan, one_by_one, by_doubling])
def test_what_comes_before_a_start_is_forgotten_even_nan(scan):
    a, b, h0, start = parts(torch.float64)
    start[2] = True
    b[1] = torch.nan
    want = loop(a[2:], b[2:], torch.zeros_like(h0), start[2:])
    torch.testing.assert_close(scan(a, b, h0, start)[2:], want)


def test_rows_that_restart_pass_no_gradient_of_a_nan():
    a, b, h0, start = parts(torch.float64)
    start[0] = True
    h0 = torch.full_like(h0, torch.nan)
    given = [each.requires_grad_() for each in (a, b, h0)]
    for gradient in torch.autograd.grad(linear_scan(*given, start).sum(), given):
        assert gradient.isfinite().all()
