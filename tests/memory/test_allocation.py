"""Usage and allocation of the DNC against their definitions, in plain loops."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from memrl.memory.ops.allocation import allocation_weights, retention, update_usage

B, N, R = 3, 7, 2
usages = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=1, max_size=9)


def uniform(*shape):
    return torch.rand(*shape, dtype=torch.float64)


def weighting(*shape):
    return 0.9 * torch.randn(*shape, dtype=torch.float64).softmax(dim=-1)


def allocate(*usage):
    return allocation_weights(torch.tensor([usage], dtype=torch.float64))[0]


def close(got, want, atol=1e-5):
    want = torch.as_tensor(want, dtype=torch.float64)
    torch.testing.assert_close(got, want, rtol=0, atol=atol)


def test_usage_matches_the_definition():
    u, w, r, f = uniform(B, N), weighting(B, N), weighting(B, R, N), uniform(B, R)
    want = torch.empty(B, N, dtype=torch.float64)
    for b in range(B):
        for n in range(N):
            kept = 1.0
            for h in range(R):
                kept *= 1 - f[b, h] * r[b, h, n]
            want[b, n] = (u[b, n] + w[b, n] - u[b, n] * w[b, n]) * kept
    close(update_usage(u, w, r, f), want, 1e-12)


def test_what_is_retained_matches_the_definition():
    r, f = weighting(B, R, N), uniform(B, R)
    want = [
        [(1 - f[b, 0] * r[b, 0, n]) * (1 - f[b, 1] * r[b, 1, n]) for n in range(N)]
        for b in range(B)
    ]
    close(retention(r, f), want, 1e-12)


def test_usage_stays_between_zero_and_one():
    u = update_usage(uniform(B, N), weighting(B, N), weighting(B, R, N), uniform(B, R))
    assert ((u >= 0) & (u <= 1)).all()


def test_a_slot_read_with_an_open_free_gate_is_free():
    read = torch.eye(N, dtype=torch.float64)[2].expand(B, 1, N)
    u = update_usage(uniform(B, N), weighting(B, N), read, torch.ones(B, 1).double())
    close(u[:, 2], torch.zeros(B), 0)
    assert (u[:, 3] > 0).all()


def test_a_full_write_is_used():
    one_hot = torch.eye(N, dtype=torch.float64)[4].expand(B, N)
    u = update_usage(uniform(B, N), one_hot, weighting(B, R, N), torch.zeros(B, R).double())
    close(u[:, 4], torch.ones(B), 0)


def test_no_gradient_flows_from_usage_into_the_write():
    w = weighting(B, N).requires_grad_()
    gates = uniform(B, R).requires_grad_()
    u = update_usage(uniform(B, N), w, weighting(B, R, N), gates)
    to_w, to_gates = torch.autograd.grad(u.sum(), (w, gates), allow_unused=True)
    assert to_w is None
    assert to_gates.all()


def test_allocation_of_the_worked_examples():
    close(allocate(0.5, 0.4, 0.2), [0.04, 0.12, 0.8])
    close(allocate(0.5, 0.0, 0.2), [0, 1, 0])


def test_allocation_matches_the_definition():
    usage = uniform(B, N)
    for b in range(B):
        u = (1e-6 + (1 - 1e-6) * usage[b]).tolist()
        order, want, product = sorted(range(N), key=lambda n: u[n]), [0.0] * N, 1.0
        for n in order:
            want[n] = (1 - u[n]) * product
            product *= u[n]
        close(allocation_weights(usage)[b], want, 1e-12)


def test_ties_go_to_the_lower_slot():
    close(allocate(0.0, 0.0, 0.0, 0.0), [1, 0, 0, 0])


def test_allocation_follows_a_permutation_of_the_slots():
    usage, order = uniform(B, N), torch.randperm(N)
    close(allocation_weights(usage[:, order]), allocation_weights(usage)[:, order], 1e-12)


@given(usages)
def test_allocation_sums_to_one_minus_the_product_of_usage(usage):
    close(allocate(*usage).sum(), 1 - torch.tensor(usage, dtype=torch.float64).prod())


@given(usages)
def test_the_least_used_slot_is_allocated_most(usage):
    free = allocate(*usage)
    assert (free >= 0).all()
    close(free[usage.index(min(usage))], free.max())


def test_gradients_are_finite_at_the_ends_of_the_range():
    usage = torch.tensor([[0.0, 1.0, 0.0, 0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    free = allocation_weights(usage)
    (gradient,) = torch.autograd.grad((free * uniform(1, 5)).sum(), usage)
    assert gradient.isfinite().all()


def test_the_gradient_is_that_of_the_formula():
    usage = uniform(B, N).requires_grad_()
    assert torch.autograd.gradcheck(allocation_weights, usage)
