"""GTrXL: gates near the identity, a stream that is causal attention within a window."""

from __future__ import annotations

import pytest
import torch
from suites import slow_but

from memrl.memory.gtrxl import GRUGate, GTrXL
from memrl.memory.ops.attention import window

T, B, M, D, I = 11, 3, 5, 7, 2  # noqa: E741


def make(layers=2):
    sizes = {"memory_len": M, "heads": 2, "head_dim": 3, "mlp_dim": 13, "hidden_dim": D}
    return GTrXL(I, layers=layers, **sizes).double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def test_the_gate_matches_its_equations():
    gate, x, y = GRUGate(D).double(), rand(B, D), rand(B, D)
    (w_r, w_z, w_g), (u_r, u_z) = gate.w.weight.split(D), gate.u.weight.split(D)
    for b in range(B):
        r = (w_r @ y[b] + u_r @ x[b]).sigmoid()
        z = (w_z @ y[b] + u_z @ x[b] - gate.bias).sigmoid()
        h = (w_g @ y[b] + gate.u_g.weight @ (r * x[b])).tanh()
        torch.testing.assert_close(gate(x, y)[b], (1 - z) * x[b] + z * h)


def test_an_update_gate_starts_nearly_closed():
    gate = GRUGate(D).double()
    zero = torch.zeros(1, D, dtype=torch.float64)
    with torch.no_grad():
        gate.u_g.weight.zero_()
        gate.u.weight.zero_()
        gate.w.weight.zero_()
    x = torch.ones(1, D, dtype=torch.float64)
    torch.testing.assert_close(gate(x, zero), x * (1 - 0.11920292202211755))  # σ(−2)


def test_with_a_large_bias_the_core_is_the_identity_on_its_embedding():
    core, x = make(), rand(T, B, I)
    with torch.no_grad():
        for layer in core.layers:
            layer.gate.bias.fill_(1e3)
            layer.mlp_gate.bias.fill_(1e3)
    torch.testing.assert_close(core(x, core.initial_state(B), never()).y, core.embed(x))


def test_a_layer_is_its_equations_step_by_step():
    core, x = make(layers=1), rand(T, B, I)
    layer, embedded = core.layers[0], core.embed(x)
    got = core(x, core.initial_state(B), never()).y
    for t in range(T):
        e = embedded[t].unsqueeze(1)
        seen = embedded[max(0, t - M) : t].transpose(0, 1)  # [B, ≤ M, D]
        visible = window(torch.full((B, 1), float(M), dtype=torch.float64), seen.shape[1])
        read = layer.attention(layer.norm(e), layer.norm(seen), visible)
        y = layer.gate(e, read.relu())
        want = layer.mlp_gate(y, layer.mlp(layer.mlp_norm(y)).relu())
        torch.testing.assert_close(got[t], want.squeeze(1))


def test_the_memory_holds_the_inputs_of_every_layer():
    core, x = make(), rand(T, B, I)
    state = core(x, core.initial_state(B), never()).state
    embedded = core.embed(x)
    torch.testing.assert_close(state.memory[:, 0], embedded[-M:].transpose(0, 1))
    first = make(layers=1)
    first.embed, first.layers[0] = core.embed, core.layers[0]
    second = first(x, first.initial_state(B), never()).y
    torch.testing.assert_close(state.memory[:, 1], second[-M:].transpose(0, 1))


def test_the_present_does_not_depend_on_what_left_the_window_of_all_layers():
    core, x = make(), rand(2 * M + 3, B, I)
    other = x.clone()
    other[:2] += 1
    outputs = [core(each, core.initial_state(B), never(len(x))).y[-1] for each in (x, other)]
    torch.testing.assert_close(*outputs, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("size", slow_but([1e4], [0.0, 1.0, 1e4]))
def test_two_thousand_equal_steps_stay_finite_in_single_precision(size):
    core = GTrXL(I, memory_len=M, hidden_dim=D)
    x, start = torch.full((2000, 2, I), size), torch.zeros(2000, 2, dtype=torch.bool)
    out = core(x, core.initial_state(2), start)
    out.y[-1].sum().backward()
    assert out.y.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in core.parameters())
