"""What FFM computes; the numbers of its authors' code among it."""

from __future__ import annotations

import cmath
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from memrl.memory import FFM

FOLDER = Path(os.environ.get("MEMRL_GOLDEN", Path(__file__).parents[1] / "golden"))
OURS = {"ffa.a": "alpha", "ffa.b": "omega", "pre.weight": "input.weight", "pre.bias": "input.bias"}
T, B, IN, M, C, OUT = 7, 3, 5, 11, 2, 13


def build():
    return FFM(IN, trace_dim=M, context_dim=C, hidden_dim=OUT).double()


def never(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


def test_the_authors_numbers_come_out():
    with np.load(FOLDER / "ffm_proroklab.npz") as stored:
        a = {name: torch.tensor(stored[name]) for name in stored.files}
    traces, contexts = a["state"].shape[2:]
    core = FFM(
        a["x"].shape[-1], trace_dim=traces, context_dim=contexts, hidden_dim=a["y"].shape[-1]
    )
    drawn = {name: core.get_parameter(name).clone() for name in ("alpha", "omega")}
    with torch.no_grad():
        for name, value in a.items():
            if name.startswith("param/"):
                name = name.removeprefix("param/")
                own = core.get_parameter(OURS.get(name, name))
                own.copy_(value.view_as(own))
    for name, value in drawn.items():  # our first rates are the authors'
        torch.testing.assert_close(core.get_parameter(name), value)
    core = core.double()
    x = a["x"].double().transpose(0, 1)  # [T, B, I]
    start = torch.zeros(x.shape[:2], dtype=torch.bool)
    state = core.initial_state(x.shape[1])
    y = core(x, state, start).y.transpose(0, 1)
    torch.testing.assert_close(y, a["y"].double(), rtol=0, atol=1e-5)
    for t in range(len(x)):
        state = core.step(x[t], state, start[t])[1]
        want = a["state"][:, t].to(torch.complex128)
        torch.testing.assert_close(torch.complex(state.re, state.im), want, rtol=0, atol=1e-5)


def test_a_sequence_is_the_papers_recurrence():
    core = build()
    x = torch.randn(T, B, IN, dtype=torch.float64)
    with torch.no_grad():
        got = core(x, core.initial_state(B), never()).state
    add, _, gate, _ = core.input(x).detach().split([M, OUT, M, OUT], dim=-1)
    for b in range(B):
        for m in range(M):
            for c in range(C):
                rate = cmath.exp(complex(-abs(core.alpha[m].item()), core.omega[c].item()))
                S = 0j
                for t in range(T):
                    S = rate * S + (add[t, b, m] * gate[t, b, m].sigmoid()).item()
                assert complex(got.re[b, m, c], got.im[b, m, c]) == pytest.approx(S)


def test_no_rate_lets_a_trace_grow():
    core = build()
    with torch.no_grad():
        core.alpha.normal_()
        core.omega.normal_()
    assert (torch.hypot(*core.rates()) <= 1).all()


def test_the_slowest_trace_keeps_a_hundredth_after_1024_steps():
    alpha = FFM(IN).alpha.detach()
    assert (-alpha[-1].abs() * 1024).exp().item() == pytest.approx(0.01, rel=1e-4)
    assert (alpha.abs().diff() < 0).all()


def test_fast_forgetting_leaves_no_memory():
    core = build()
    with torch.no_grad():
        core.alpha.fill_(-1e3)
    x = torch.randn(T, B, IN, dtype=torch.float64)
    alone = core(x[-1:], core.initial_state(B), never(1)).y[0]
    torch.testing.assert_close(core(x, core.initial_state(B), never()).y[-1], alone)


@pytest.mark.slow
def test_more_steps_than_the_authors_sums_allow_equal_stepping():
    """Cumulative sums of γ^-t overflow past 1,024 steps; a recurrence does not."""
    core = build()
    x, steps = torch.randn(1500, B, IN, dtype=torch.float64), never(1500)
    got, state = core(x, core.initial_state(B), steps), core.initial_state(B)
    for t in range(len(x)):
        y, state = core.step(x[t], state, steps[t])
    torch.testing.assert_close(got.y[-1], y)
    torch.testing.assert_close(got.state, state)


def test_extreme_inputs_stay_finite_with_their_gradients():
    core = build().float()
    x = torch.randn(T, B, IN) * torch.tensor([0.0, 1e4, 1.0]).view(1, B, 1)
    core(x, core.initial_state(B), never()).y.sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())
