"""What an optimiser learned goes on elsewhere, and is left as it was."""

from __future__ import annotations

import copy

import pytest
import torch

from memrl.checkpoint.optimizer import load_moments, moments

KINDS = [torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD]


def after_steps(optimizer, weights, steps):
    for number in range(steps):
        weights.grad = torch.arange(3.0) + number
        optimizer.step()
    return weights.detach().clone()


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimiser_goes_on_where_another_stood_with_its_own_step_size(kind):
    first, second = (torch.nn.Parameter(torch.ones(3)) for _ in "12")
    one = kind([first], lr=0.1)
    after_steps(one, first, 4)
    other = kind([second], lr=0.1)
    second.data.copy_(first.data)
    load_moments(other, moments(one))
    assert torch.equal(after_steps(one, first, 3), after_steps(other, second, 3))
    slow = kind([second], lr=0.025)
    load_moments(slow, moments(one))
    assert slow.param_groups[0]["lr"] == 0.025


def test_what_was_saved_is_not_written_into():
    weights = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weights])
    after_steps(optimizer, weights, 2)
    saved = copy.deepcopy(moments(optimizer))
    kept = copy.deepcopy(saved)
    load_moments(optimizer, saved)
    after_steps(optimizer, weights, 2)
    torch.testing.assert_close(saved, kept, rtol=0, atol=0)
