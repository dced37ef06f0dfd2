"""The controller that several memories share: its first weights, and its equations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memrl import memory
from memrl.memory.parts.controlled import ControlledMemory, ControllerState

B, IN, H, R, W = 3, 7, 5, 2, 11
CONTROLLED = [n for n in memory.names() if issubclass(memory.core_class(n), ControlledMemory)]


def build(name, **options):
    return memory.build(name, IN, {"hidden_dim": H, **options})


def layers(core):
    return [layer for layer in core.children() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("name", CONTROLLED)
def test_the_forget_gates_alone_begin_open(name):
    core = build(name)
    assert core.input.bias.view(4, H)[1].tolist() == [1.0] * H  # gates i, f, o, g
    assert not core.input.bias.view(4, H)[[0, 2, 3]].any()


@pytest.mark.parametrize("name", CONTROLLED)
def test_first_weights_fill_the_bounds_of_xavier(name):
    for layer in layers(build(name)):
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        largest = layer.weight.detach().abs().max()
        assert 0.9 * bound < largest <= bound


def test_a_controller_without_a_state_has_no_forget_gate():
    core = build("dnc", controller="feedforward")
    assert not core.input.bias.any()
    assert core.initial_state(B).controller == ()


def test_a_step_of_the_controller_is_an_lstm_of_the_input_and_the_last_reads():
    core = build("ntm", read_heads=R, word_dim=W).double()
    x, reads, h, c = (torch.randn(B, *shape).double() for shape in ((IN,), (R, W), (H,), (H,)))
    got = core._control(core._project(x), reads, ControllerState(h, c))

    cell = nn.LSTMCell(IN + R * W, H).double()
    fed_back, own = core.feedback.weight.split([R * W, H], dim=1)
    i, f, o, g = range(4)
    order = [i, f, g, o]  # torch's

    def ordered(weight):
        return weight.view(4, H, *weight.shape[1:])[order].flatten(0, 1)

    with torch.no_grad():
        cell.weight_ih.copy_(ordered(torch.cat([core.input.weight, fed_back], dim=1)))
        cell.weight_hh.copy_(ordered(own))
        cell.bias_ih.copy_(ordered(core.input.bias))
        cell.bias_hh.zero_()
    torch.testing.assert_close(tuple(got), cell(torch.cat([x, reads.flatten(1)], 1), (h, c)))
