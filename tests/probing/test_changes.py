"""What a change does to each row at each step, by hand."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from memrl.probing.changes import (
    Capture,
    Freeze,
    all_of,
    has_slots,
    transplant,
    wipe,
    wipe_from,
)
from memrl.probing.play import NEVER

MOMENT = torch.tensor([2, 3, NEVER])


class Slots(NamedTuple):
    memory: Tensor
    controller: Tensor


def state(t: float) -> Slots:
    """Row b of the state after step t − 1 holds 10 t + b, in both leaves."""
    rows = 10.0 * t + torch.arange(3.0)
    return Slots(rows.view(3, 1, 1).clone(), rows.view(3, 1).clone())


def course(change) -> list[list[float]]:
    """What the rows' slots hold after the change, before steps 1 … 4."""
    return [change(t, state(t)).memory.flatten().tolist() for t in range(1, 5)]


ZERO = Slots(torch.zeros(3, 1, 1), torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (wipe(MOMENT, ZERO), [[10, 11, 12], [0, 21, 22], [30, 0, 32], [40, 41, 42]]),
        (wipe_from(MOMENT, ZERO), [[10, 11, 12], [0, 21, 22], [0, 0, 32], [0, 0, 42]]),
        (transplant(MOMENT, state(9)), [[10, 11, 12], [90, 21, 22], [30, 91, 32], [40, 41, 42]]),
        (Freeze(MOMENT, slots=False), [[10, 11, 12], [20, 21, 22], [20, 31, 32], [20, 31, 42]]),
    ],
    ids=["wipe", "wipe_from", "transplant", "freeze"],
)
def test_a_change_begins_at_the_moment_of_each_row(change, want):
    assert course(change) == want


@pytest.mark.parametrize("make", [lambda: Freeze(MOMENT, slots=True),
                                  lambda: transplant(MOMENT, state(9), slots=True)])  # fmt: skip
def test_of_slots_alone_the_controller_goes_on(make):
    change = make()
    for t in range(1, 5):
        assert change(t, state(t)).controller.equal(state(t).controller)
    assert course(make()) != course(lambda t, given: given)


def test_what_is_captured_is_the_state_of_each_row_at_its_moment():
    capture = Capture(MOMENT)
    assert course(capture) == course(lambda t, given: given)
    assert capture.states.memory.flatten().tolist()[:2] == [20, 31]


def test_changes_are_made_one_after_the_other():
    capture = Capture(MOMENT)
    course(all_of([wipe(MOMENT, ZERO), capture]))
    assert capture.states.memory.flatten().tolist()[:2] == [0, 0]


def test_slots_are_found_inside_of_nested_states():
    assert has_slots((torch.zeros(3), state(1)))
    assert not has_slots((torch.zeros(3), (torch.zeros(3),)))
