"""GRU and LSTM sequences: fused with resets inside, equal to the loop and to torch's cells."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.core import MemoryCore
from memrl.memory.gru import GRU
from memrl.memory.lstm import LSTM
from memrl.memory.ops.gated import gated_sequence, unbroken
from memrl.memory.ops.gru import GRUGates
from memrl.memory.ops.lstm import ControllerGates, LSTMGates

T, B, DIM, H = 5, 3, 2, 7
STARTS = {
    "none": torch.zeros(T, B, dtype=torch.bool),
    "everywhere": torch.ones(T, B, dtype=torch.bool),
    "some": torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).bool(),
}


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_gradients_of_the_gru_match_finite_differences(start):
    def sequence(x, h, weight_ih, weight_hh, bias, bias_n):
        weights = weight_ih, weight_hh, bias
        y, (last,) = gated_sequence(GRUGates, x, (h,), *weights, start, (bias_n,))
        return y, last

    inputs = (rand(T, B, DIM), rand(B, 2), rand(6, DIM), rand(6, 2), rand(6), rand(2))
    assert torch.autograd.gradcheck(sequence, inputs)


@pytest.mark.parametrize("cell", [LSTMGates, ControllerGates])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_gradients_of_the_lstm_match_finite_differences(start, cell):
    def sequence(x, h, c, *weights):
        y, last = gated_sequence(cell, x, (h, c), *weights, start)
        return y, *last

    inputs = (rand(T, B, DIM), rand(B, 2), rand(B, 2), rand(8, DIM), rand(8, 2), rand(8))
    assert torch.autograd.gradcheck(sequence, inputs)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
@pytest.mark.parametrize("core_class", [GRU, LSTM])
def test_the_fused_sequence_equals_the_plain_loop_with_every_gradient(core_class, start):
    core = core_class(DIM, hidden_dim=H).double()
    x = rand(T, B, DIM)
    state = type(core.initial_state(B))(*(rand(B, H) for _ in core.initial_state(B)))
    fused, loop = core(x, state, start), MemoryCore.forward(core, x, state, start)
    leaves = (x, *state, *core.parameters())
    upstream = torch.randn(T, B, H, dtype=torch.float64)
    last = [torch.randn(B, H, dtype=torch.float64) for _ in state]
    gradients = [
        torch.autograd.grad([out.y, *out.state], leaves, [upstream, *last]) for out in (fused, loop)
    ]
    torch.testing.assert_close(fused.y, loop.y)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_the_gru_is_torchs_gru():
    core, reference = GRU(DIM, hidden_dim=H).double(), torch.nn.GRU(DIM, H).double()
    for mine, name in ((core.weight_ih, "weight_ih_l0"), (core.weight_hh, "weight_hh_l0")):
        getattr(reference, name).data.copy_(mine)
    for mine, name in ((core.bias_ih, "bias_ih_l0"), (core.bias_hh, "bias_hh_l0")):
        mine.data.normal_()
        getattr(reference, name).data.copy_(mine)
    x = rand(T, B, DIM)
    want, _ = reference(x)
    torch.testing.assert_close(core(x, core.initial_state(B), STARTS["none"]).y, want)


def test_the_lstm_is_torchs_lstm():
    core, reference = LSTM(DIM, hidden_dim=H).double(), torch.nn.LSTM(DIM, H).double()
    reference.weight_ih_l0.data.copy_(core.weight_ih)
    reference.weight_hh_l0.data.copy_(core.weight_hh)
    reference.bias_ih_l0.data.copy_(core.bias)
    reference.bias_hh_l0.data.zero_()
    x = rand(T, B, DIM)
    want, (_, c) = reference(x)
    out = core(x, core.initial_state(B), STARTS["none"])
    torch.testing.assert_close(out.y, want)
    torch.testing.assert_close(out.state.c, c[0])


@pytest.mark.parametrize("core_class", [GRU, LSTM])
def test_the_librarys_call_on_an_unbroken_sequence_equals_the_loop_with_every_gradient(core_class):
    core = core_class(DIM, hidden_dim=H).double()
    x = rand(T, B, DIM)
    state = type(core.initial_state(B))(*(rand(B, H) for _ in core.initial_state(B)))
    library = core._unbroken(x, state)
    loop = MemoryCore.forward(core, x, state, STARTS["none"])
    leaves = (x, *state, *core.parameters())
    upstream = torch.randn(T, B, H, dtype=torch.float64)
    gradients = [
        torch.autograd.grad(out.y, leaves, upstream, allow_unused=True) for out in (library, loop)
    ]
    torch.testing.assert_close(library.y, loop.y)
    torch.testing.assert_close(library.state, loop.state)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_a_start_at_the_first_step_alone_leaves_a_sequence_unbroken():
    start = STARTS["none"].clone()
    start[0] = True
    assert unbroken(start)
    assert not unbroken(STARTS["some"])


def test_the_forget_bias_starts_as_asked():
    for wanted in (1.0, -0.5):
        bias = LSTM(DIM, hidden_dim=H, forget_bias=wanted).bias
        assert bias.view(4, H)[1].tolist() == [wanted] * H
        assert not bias.view(4, H)[[0, 2, 3]].any()
