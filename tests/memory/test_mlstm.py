"""What an mLSTM computes."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory import MLSTM

T, B, IN, HEADS, K, OUT = 7, 3, 5, 2, 11, 13


def build():
    core = MLSTM(IN, heads=HEADS, head_dim=K, hidden_dim=OUT).double()
    with torch.no_grad():
        core.gates.weight.normal_()  # else every step has the same gates
    return core


def never(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


def test_a_sequence_is_the_papers_recurrence_without_stabiliser():
    """C' = f C + i v kᵀ/√K, n' = f n + i k/√K, h̃ = C' q / max(|n'·q|, 1)."""
    core = build()
    x = torch.randn(T, B, IN, dtype=torch.float64)
    got = core(x, core.initial_state(B), never())
    gates = 15 * (core.gates(x) / 15).tanh()
    i, f = gates[..., :HEADS].exp(), gates[..., HEADS:].sigmoid()
    q, k, v, o = core.qkvo(x).chunk(4, dim=-1)
    for b in range(B):
        read = torch.zeros(T, HEADS * K, dtype=torch.float64)
        for h in range(HEADS):
            rows = slice(h * K, (h + 1) * K)
            C, n = torch.zeros(K, K, dtype=x.dtype), torch.zeros(K, dtype=x.dtype)
            for t in range(T):
                key = k[t, b, rows] / math.sqrt(K)
                C = f[t, b, h] * C + i[t, b, h] * torch.outer(v[t, b, rows], key)
                n = f[t, b, h] * n + i[t, b, h] * key
                size = max(abs(n @ q[t, b, rows]), torch.ones((), dtype=x.dtype))
                read[t, rows] = C @ q[t, b, rows] / size
            scale = got.state.scale[b, h].exp()
            torch.testing.assert_close(got.state.memory[b, h].T * scale, C)
            torch.testing.assert_close(got.state.norm[b, h] * scale, n)
        torch.testing.assert_close(got.y[:, b], core.output(read * o[:, b].sigmoid()))


def test_open_gates_make_it_linear_attention():
    """f = i = 1: the sum of v kᵀ; f is 1 in the state itself, where no logit could make it so."""
    core = build()
    x, state = torch.randn(T, B, IN, dtype=torch.float64), core.initial_state(B)
    want = torch.zeros_like(state.memory)
    projected = core._project(x)
    projected[..., -2 * HEADS :] = 0  # log i = log f = 0
    for t in range(T):
        state = core._update(projected[t], state)[1]
        _, k, v, _ = core.qkvo(x[t]).view(B, 4, HEADS, K).unbind(1)
        want = want + torch.einsum("bhk,bhv->bhkv", k / math.sqrt(K), v)
    torch.testing.assert_close(state.memory, want)
    assert not state.scale.any()


@pytest.mark.parametrize("shift", [-2.0, 5.0, 300.0])
def test_the_stabiliser_may_be_anything(shift):
    """A state (C e^-m, n e^-m, m) means C and n: the outputs do not depend on m."""
    core = build().float() if shift < 100 else build()
    dtype = core.output.weight.dtype
    x = torch.randn(2 * T, B, IN, dtype=dtype)
    state = core(x[:T], core.initial_state(B), never()).state
    factor = math.exp(-shift)
    other = type(state)(state.memory * factor, state.norm * factor, state.scale + shift)
    want, got = core(x[T:], state, never()).y, core(x[T:], other, never()).y
    torch.testing.assert_close(got, want)


def test_gates_start_as_the_paper_says():
    core = MLSTM(IN)
    assert not core.gates.weight.any()
    torch.testing.assert_close(core.gates.bias[4:].tolist(), [3.0, 4.0, 5.0, 6.0])
