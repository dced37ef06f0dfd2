"""Rows found by keys: against a plain dict, growing, and full."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.memory.stores.keyed_rows import MISSING, ROOM, KeyedRows


def rows(capacity=5, reserved=2):
    first = {"color": torch.tensor(-1), "point": torch.zeros(3)}
    return KeyedRows(first, capacity=capacity, reserved=reserved)


def put(own, keys, **values):
    values = {name: torch.tensor(value) for name, value in values.items()}
    return own.put(torch.tensor(keys, dtype=torch.int64), values)


def find(own, keys):
    return own.find(torch.tensor(keys, dtype=torch.int64))


def held(own):
    return set(own.key[own.reserved : own.count].tolist())


def test_a_key_that_is_not_held_has_the_row_of_missing_ones():
    own = rows()
    assert find(own, [7, -3]).tolist() == [MISSING, MISSING]
    put(own, [7])
    assert find(own, [7, -3]).tolist() == [2, MISSING]


def test_a_new_row_begins_as_first_says_but_for_what_is_known_of_it():
    own = rows()
    put(own, [7, 9, 7], color=[1, 2, 3])
    row = find(own, [7, 9])
    assert own.held("color")[row].tolist() == [1, 2]  # what came first
    assert own.held("point")[row].tolist() == [[0.0] * 3] * 2


def test_what_is_known_of_a_key_that_is_held_changes_nothing():
    own = rows()
    put(own, [7], color=[1])
    placed = put(own, [7], color=[2])
    assert placed.new == 0
    assert own.held("color")[placed.row].tolist() == [1]


def test_what_was_used_least_recently_makes_room_and_its_row_starts_anew():
    own = rows(capacity=3)
    for key in (4, 5, 6):
        put(own, [key], color=[key])
    own.held("point")[find(own, [5])] = 1.0
    put(own, [4])
    placed = put(own, [8, 6])  # 6 is used in the same batch: 5 is the oldest
    assert held(own) == {4, 6, 8}
    assert placed.replaced.tolist() == placed.row[:1].tolist()
    assert own.held("color")[placed.row].tolist() == [-1, 6]
    assert own.held("point")[placed.row].tolist() == [[0.0] * 3] * 2


def test_finding_is_no_use():
    own = rows(capacity=2)
    put(own, [4]), put(own, [5])
    find(own, [4])
    put(own, [6])
    assert held(own) == {5, 6}


def test_rows_that_are_reserved_are_never_found_or_written():
    own = rows(capacity=3)
    for key in range(9):
        put(own, [0, key], color=[key, key])
    assert own.arrays["color"][:2].tolist() == [-1, -1]
    assert find(own, [0]) >= 2


def test_rows_stay_where_they_are_when_more_are_allocated():
    own = rows(capacity=5 * ROOM)
    keys = torch.randperm(3 * ROOM) - ROOM
    for part in keys.split(1000):
        own.put(part, {"color": part})
    assert len(own.key) == 4 * ROOM
    assert torch.equal(own.held("color")[own.find(keys)], keys)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 13), min_size=1, max_size=5), max_size=9))
def test_as_many_batches_as_fit_are_held_from_the_last_one_back(batches):
    own, used = rows(capacity=7), {}
    for time, keys in enumerate(batches):
        put(own, keys)
        used |= dict.fromkeys(keys, time)
    assert len(held(own)) == min(7, len(used))
    gone = set(used) - held(own)
    assert max((used[key] for key in gone), default=-1) <= min(
        (used[key] for key in held(own)), default=0
    )


def test_saved_rows_go_on_as_the_own_ones():
    one, other = rows(), rows()
    for key in (4, 5, 6, 7):
        put(one, [key], color=[key])
    put(other, [99, 98, 97])
    other.load_state_dict(one.state_dict())
    for own in (one, other):
        put(own, [4, 1, 2], color=[0, 1, 2])
    for name in one.arrays:
        assert torch.equal(one.held(name), other.held(name))
    assert torch.equal(one.key[: one.count], other.key[: other.count])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("key", torch.zeros(4, 1, dtype=torch.int64)),
        ("clock", torch.zeros(3, dtype=torch.int64)),
        ("color", torch.zeros(5)),
        ("point", torch.zeros(3, 3)),
    ],
)
def test_saved_rows_of_another_number_or_shape_are_refused_before_anything_changes(name, wrong):
    one, other = rows(), rows()
    put(one, [3, 7]), put(other, [5])
    with pytest.raises(ValueError, match=rf"{name} is \(.* in the saved state, allowed: \(4,"):
        other.load_state_dict({**one.state_dict(), name: wrong})
    assert held(other) == {5}


def test_saved_rows_that_do_not_fit_are_refused():
    many, few = rows(capacity=9), rows(capacity=2)
    put(many, [1, 2, 3])
    with pytest.raises(ValueError, match="saved state has 3 rows, allowed: 2"):
        few.load_state_dict(many.state_dict())
    state = {**many.state_dict(), "point": torch.zeros(5, 2)}
    with pytest.raises(
        ValueError, match=r"point is \(5, 2\) in the saved state, allowed: \(5, 3\)"
    ):
        many.load_state_dict(state)
    del state["clock"]
    with pytest.raises(ValueError, match="the saved rows lack clock"):
        many.load_state_dict(state)
