"""A state is parted into what ranks have in common and what is their own, and joined again."""

from __future__ import annotations

import pytest

from memrl.checkpoint.common import own_part, with_common

STATE = {
    "steps": 5,
    "policy": {"w": 1, "b": 2},
    "collector": {"env": [1, 2], "bonus": {"net": 3, "seen": 4}},
    "norm": None,
}
COMMON = {"steps", "policy", "norm", "collector.bonus.net"}


def test_a_rank_saves_what_is_not_common():
    assert own_part(STATE, COMMON) == {"collector": {"env": [1, 2], "bonus": {"seen": 4}}}


def test_its_own_part_with_what_is_common_is_its_state():
    other = {**STATE, "collector": {"env": [7, 8], "bonus": {"net": 3, "seen": 9}}}
    assert with_common(own_part(other, COMMON), STATE, COMMON) == other


def test_a_new_state_keeps_what_is_its_own_and_goes_on_with_what_is_common():
    new = {"steps": 0, "policy": {"w": 0, "b": 0}, "collector": {"env": [0], "bonus": {"net": 0}}}
    assert with_common(new, STATE, COMMON) == {
        "steps": 5,
        "policy": {"w": 1, "b": 2},
        "collector": {"env": [0], "bonus": {"net": 3}},
        "norm": None,
    }


@pytest.mark.parametrize("bonus", [None, {}])
def test_a_part_that_is_not_there_is_no_part(bonus):
    state = {"steps": 5, "collector": {"env": [1], "bonus": bonus}}
    own = own_part(state, COMMON)
    assert own == {"collector": {"env": [1], "bonus": bonus}}
    assert with_common(own, state, COMMON) == state


def test_what_is_taken_apart_is_not_changed():
    own_part(STATE, COMMON)
    with_common({"collector": {"bonus": {}}}, STATE, COMMON)
    assert STATE["collector"] == {"env": [1, 2], "bonus": {"net": 3, "seen": 4}}
