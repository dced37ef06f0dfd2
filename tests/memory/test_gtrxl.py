"""GTrXL: gates near the identity, a stream that is causal attention within a window."""

from __future__ import annotations

import pytest
import torch
from suites import slow_but

from memrl.memory.gtrxl import GRUGate, GTrXL
from memrl.memory.kernels import choice
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


def test_the_gates_gradient_by_hand_is_that_of_its_equations():
    gate = GRUGate(D).double()
    x, y, d = rand(B, T, D).requires_grad_(), rand(B, T, D).requires_grad_(), rand(B, T, D)
    (w_r, w_z, w_g), (u_r, u_z) = gate.w.weight.split(D), gate.u.weight.split(D)
    r = (y @ w_r.T + x @ u_r.T).sigmoid()
    z = (y @ w_z.T + x @ u_z.T - gate.bias).sigmoid()
    want = (1 - z) * x + z * (y @ w_g.T + (r * x) @ gate.u_g.weight.T).tanh()
    leaves = (x, y, *gate.parameters())
    gradients = [torch.autograd.grad(out, leaves, d) for out in (gate(x, y), want)]
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted)
    with torch.no_grad():
        torch.testing.assert_close(gate(x, y), want)


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


def standardised(x):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("length", [1, 3, M, T, 23])
def test_the_memory_is_a_ring_of_the_standardised_inputs_of_every_layer(length):
    core, x = make(), rand(length, B, I)
    state = core(x, core.initial_state(B), never(length)).state
    first = make(layers=1)
    first.embed, first.layers[0] = core.embed, core.layers[0]
    inputs = [core.embed(x), first(x, first.initial_state(B), never(length)).y]
    for layer, of_layer in enumerate(inputs):
        for slot in range(M):
            steps = [n for n in range(length) if n % M == slot]
            want = standardised(of_layer[steps[-1]]) if steps else torch.zeros(B, D).double()
            torch.testing.assert_close(state.ring[:, layer, slot], want)
    shown = core.diagnostics(state)["memory"]  # oldest first
    kept = min(length, M)
    last = standardised(inputs[-1][-kept:]).transpose(0, 1)
    torch.testing.assert_close(shown[:, -kept:], last)


def test_a_state_is_right_after_the_parameters_changed():
    """Norms learn between two chunks; what is stored does not depend on them."""
    core, x = make(), rand(T, B, I)
    state = core(x, core.initial_state(B), never()).state
    with torch.no_grad():
        for layer in core.layers:
            layer.norm.weight.mul_(3).add_(rand(D))
            layer.norm.bias.add_(rand(D))
    e, x = standardised(core.embed(x[-M:])), rand(B, I)
    other = state._replace(ring=state.ring.clone())
    other.ring[:, 0] = torch.stack([e[(s - T) % M] for s in range(M)], dim=1)
    got, want = (core.step(x, each, never()[0])[0] for each in (state, other))
    torch.testing.assert_close(got, want)


def test_a_donated_step_edits_the_ring_and_copies_nothing():
    core, x = make(), rand(T, B, I)
    with torch.no_grad():
        state = core(x, core.initial_state(B), never()).state
        want = core.step(x[0], state, never()[0])
        y, after = core.step(x[0], state, never()[0], donate=True)
    assert after.ring.data_ptr() == state.ring.data_ptr()
    torch.testing.assert_close((y, after), want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_kernel_reads_the_ring_as_torch_does(monkeypatch, dtype):
    core, x, start = make().to(dtype), rand(T, B, I).to(dtype), never()
    start[4, 1] = start[9, 2] = True

    def act():
        with torch.no_grad():
            state = core.initial_state(B)
            for t in range(T):
                y, state = core.step(x[t], state, start[t], donate=True)
                yield y
            yield state.ring

    quick = [each.clone() for each in act()]
    monkeypatch.setattr(choice, "has_numba", lambda: False)
    torch.testing.assert_close(quick, list(act()))


def test_the_age_stays_small_in_an_endless_episode():
    core, state = make(), make().initial_state(B)
    with torch.no_grad():
        for t in range(4 * M + 2):
            _, state = core.step(rand(B, I), state, never()[0])
            assert state.age.tolist() == [t + 1 if t + 1 < 2 * M else M + (t + 1) % M] * B


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
