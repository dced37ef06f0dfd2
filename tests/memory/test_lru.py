"""What an LRU computes."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from memrl.memory import LRU

T, B, IN, N, H = 7, 3, 5, 11, 2


def build(**options):
    return LRU(IN, **{"state_dim": N, "hidden_dim": H, **options}).double()


def never(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


def complex_parameters(core):
    """λ [N], e^γ B [N, I], C [H, N]."""
    nu, theta = core.nu.tolist(), core.theta.tolist()
    lam = [cmath.exp(complex(-math.exp(n), math.exp(th))) for n, th in zip(nu, theta, strict=True)]
    b = core.gamma.detach().exp().unsqueeze(1) * torch.complex(*core.B.detach().split(N))
    real, minus_imag = core.C.detach().split(N, dim=1)
    return torch.tensor(lam), b, torch.complex(real, -minus_imag)


def test_a_sequence_is_the_papers_recurrence():
    core = build()
    x = torch.randn(T, B, IN, dtype=torch.float64)
    got = core(x, core.initial_state(B), never())
    lam, b, c = complex_parameters(core)
    for row in range(B):
        h = torch.zeros(N, dtype=torch.complex128)
        for t in range(T):
            h = lam * h + b @ x[t, row].to(h.dtype)
            v = (c @ h).real + core.D @ x[t, row]
            gelu = v * 0.5 * (1 + torch.erf(v / math.sqrt(2)))
            p, q = core.output(gelu).chunk(2)
            torch.testing.assert_close(got.y[t, row], p * q.sigmoid())
        torch.testing.assert_close(torch.complex(got.state.re[row], got.state.im[row]), h)


def test_an_impulse_rings_as_powers_of_the_eigenvalues():
    core = build()
    x = torch.zeros(T, B, IN, dtype=torch.float64)
    x[0, :, 3] = 1
    lam, b, _ = complex_parameters(core)
    for t in (1, 4, T):
        state = core(x[:t], core.initial_state(B), never(t)).state
        want = (lam ** (t - 1) * b[:, 3]).expand(B, N)
        torch.testing.assert_close(torch.complex(state.re, state.im), want)


@pytest.mark.parametrize(("r_min", "r_max"), [(0.0, 1.0), (0.9, 0.999)])
def test_eigenvalues_start_in_the_ring_and_unit_noise_keeps_unit_power(r_min, r_max):
    core = LRU(IN, state_dim=4001, hidden_dim=H, r_min=r_min, r_max=r_max)
    square = torch.stack(core.eigenvalues()).square().sum(0)
    assert square.min() >= r_min**2 - 1e-6
    assert square.max() <= r_max**2 + 1e-6
    middle = (r_min**2 + r_max**2) / 2
    assert abs(square.mean() - middle) < 0.05 * (r_max**2 - r_min**2)
    torch.testing.assert_close((2 * core.gamma).exp(), 1 - square, rtol=1e-2, atol=1e-5)


def test_no_parameters_make_it_unstable():
    core = build()
    with torch.no_grad():
        core.nu.uniform_(-9, 9)
        core.theta.uniform_(-9, 9)
    assert (torch.hypot(*core.eigenvalues()) < 1).all()


def test_an_empty_ring_is_refused():
    with pytest.raises(ValueError, match=r"r_min is 0\.5; allowed: below r_max, 0\.5"):
        build(r_min=0.5, r_max=0.5)
