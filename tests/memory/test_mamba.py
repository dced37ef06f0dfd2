"""What a Mamba computes: plain loops, fixed rates in closed form, a convolution that is reset."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from memrl.memory import Mamba
from memrl.memory.ops.convolution import short_convolution
from memrl.memory.ops.last_steps import last_steps

T, B, IN, E, N, WIDTH, OUT = 7, 3, 5, 11, 2, 4, 13


def build():
    sizes = {"inner_dim": E, "state_dim": N, "rank": 3, "conv_width": WIDTH, "hidden_dim": OUT}
    return Mamba(IN, **sizes).double()


def never(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def channels(core, x):
    """The inputs u of the convolution and z of the gate, of one row [T, I]."""
    normed = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * core.norm.weight
    return (core.input.weight @ normed.T).T.split(E, dim=-1)


def plain(core, x):
    """Outputs and last state of one episode [T, I], a step, a channel and a number at a time."""
    u_raw, z = channels(core, x)
    h, ys = torch.zeros(E, N).double(), []
    w_low, w_B, w_C = core.select.weight.split([3, N, N])
    for t in range(len(x)):
        u = core.kernel_bias.clone()
        for back in range(min(t, WIDTH - 1) + 1):
            u = u + core.kernel[:, WIDTH - 1 - back] * u_raw[t - back]
        u = F.silu(u)
        delta = F.softplus(core.delta.weight @ (w_low @ u) + core.delta.bias)
        into, out = w_B @ u, w_C @ u
        new = torch.zeros(E, N).double()
        for e in range(E):
            for n in range(N):
                keep = torch.exp(-delta[e] * core.a[e, n].exp())
                new[e, n] = keep * h[e, n] + delta[e] * into[n] * u[e]
        h = new
        ys.append(core.output.weight @ ((h @ out + core.D * u) * F.silu(z[t])))
    return torch.stack(ys), h


def test_a_sequence_is_the_papers_recurrence():
    core, x, start = build(), rand(T, B, IN), never()
    start[3, 1] = True
    with torch.no_grad():
        torch.nn.init.normal_(core.norm.weight)
        torch.nn.init.normal_(core.D)
        got = core(x, core.initial_state(B), start)
        for b in range(B):
            opened = 3 if b == 1 else 0
            y, h = plain(core, x[opened:, b])
            torch.testing.assert_close(got.y[opened:, b], y)
            torch.testing.assert_close(got.state.h[b], h)


def test_with_a_constant_delta_it_is_a_linear_system_with_a_closed_form():
    core, x = build(), rand(T, B, IN)
    with torch.no_grad():
        core.delta.weight.zero_()
        got = core(x, core.initial_state(B), never()).state.h
        delta, rate = F.softplus(core.delta.bias), core.a.exp()
        u_raw, _ = core._project(x).split(E, dim=-1)
        past = core.initial_state(B).past
        u = F.silu(short_convolution(past, u_raw, core.kernel, core.kernel_bias, never()))
        into = core.select(u)[..., 3 : 3 + N]
        want = torch.zeros(B, E, N).double()
        for s in range(T):
            fade = torch.exp(-delta.unsqueeze(1) * rate * (T - 1 - s))
            want += fade * delta.unsqueeze(1) * u[s].unsqueeze(-1) * into[s].unsqueeze(1)
    torch.testing.assert_close(got, want)


def test_no_delta_leaves_the_state_as_it_is():
    core = build()
    with torch.no_grad():
        core.delta.bias.fill_(-1e3)
    state = core.initial_state(B)._replace(h=rand(B, E, N))
    torch.testing.assert_close(core(rand(T, B, IN), state, never()).state.h, state.h)


def test_the_state_holds_what_the_convolution_saw_last():
    core, x, start = build(), rand(T, B, IN), never()
    start[T - 2, 1] = True
    got = core(x, core.initial_state(B), start).state.past
    for b in range(B):
        u, _ = channels(core, x[:, b])
        want = u[-3:].clone()
        if b == 1:
            want[0] = 0  # of the episode before
        torch.testing.assert_close(got[b], want)


def test_rates_start_where_the_paper_says():
    core = Mamba(IN, inner_dim=10_000)
    delta = F.softplus(core.delta.bias)
    assert delta.min().item() == pytest.approx(1e-3, rel=0.01)
    assert delta.max().item() == pytest.approx(0.1, rel=0.01)
    assert (delta < 0.01).float().mean().item() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(core.a.exp()[5], torch.arange(1.0, 17))


def test_last_steps_match_a_loop():
    past, x, start = rand(B, 2, IN), rand(T, B, IN), torch.rand(T, B) < 0.3
    got = last_steps(past, x, start)
    assert got.shape == (T, B, IN, 3)
    for t in range(T):
        for b in range(B):
            for back in range(3):
                s = t - back
                same = not start[max(s, -1) + 1 : t + 1, b].any()
                held = x[s, b] if s >= 0 else past[b, s]
                want = held if same else torch.zeros(IN).double()
                torch.testing.assert_close(got[t, b, :, 2 - back], want)
