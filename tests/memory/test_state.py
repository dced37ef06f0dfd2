"""A state is a value: whatever its structure, it is mapped, chosen from, stored and put back."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memrl.memory import state as states

B = 3


class Two(NamedTuple):
    first: object
    second: object


class Nothing(NamedTuple):
    pass


def leaf(shape):
    return torch.randn(B, *shape, dtype=torch.float64)


leaves = st.lists(st.integers(0, 3), max_size=2).map(leaf)
some_states = st.recursive(
    leaves | st.just(Nothing()),
    lambda inner: st.builds(Two, inner, inner) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
).filter(lambda state: not isinstance(state, Tensor))


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        return
    for x, y in zip(a, b, strict=True):
        same(x, y)


@given(some_states)
def test_mapping_the_identity_changes_nothing(state):
    same(states.map_state(lambda leaf: leaf, state), state)


@given(some_states)
def test_mapping_twice_is_mapping_the_composition(state):
    twice = states.map_state(torch.neg, states.map_state(torch.exp, state))
    same(twice, states.map_state(lambda leaf: -leaf.exp(), state))


@given(some_states)
def test_flattened_states_are_put_back_together(state):
    flat = states.flatten(state)
    assert [id(leaf) for leaf in flat.values()] == [id(leaf) for leaf in states.leaves(state)]
    shuffled = dict(reversed(list(flat.items())))
    same(states.unflatten(states.clone(state), shuffled), state)


@given(some_states)
def test_loaded_leaves_are_copies_on_the_device_of_ones_own(state):
    flat = states.flatten(state)
    here = states.loaded(states.clone(state), flat)
    same(here, state)
    for got, saved in zip(states.leaves(here), flat.values(), strict=True):
        assert not got.numel() or got.data_ptr() != saved.data_ptr()
    elsewhere = states.map_state(lambda leaf: leaf.to("meta"), state)
    assert all(leaf.is_meta for leaf in states.leaves(states.loaded(elsewhere, flat)))


@given(some_states, st.lists(st.integers(0, B - 1), max_size=5))
def test_selecting_takes_the_same_rows_of_every_leaf(state, rows):
    chosen = states.select(state, torch.tensor(rows, dtype=torch.long))
    for got, whole in zip(states.leaves(chosen), states.leaves(state), strict=True):
        assert len(got) == len(rows)
        for i, row in enumerate(rows):
            torch.testing.assert_close(got[i], whole[row], rtol=0, atol=0)


@given(some_states, st.lists(st.booleans(), min_size=B, max_size=B))
def test_where_takes_every_row_from_one_side_even_past_nan(state, mask):
    broken = states.map_state(lambda leaf: torch.full_like(leaf, torch.nan), state)
    chosen = states.where(torch.tensor(mask), broken, state)
    for got, whole in zip(states.leaves(chosen), states.leaves(state), strict=True):
        for row, nan in enumerate(mask):
            want = torch.full_like(whole[row], torch.nan) if nan else whole[row]
            torch.testing.assert_close(got[row], want, rtol=0, atol=0, equal_nan=True)


@given(some_states)
def test_a_clone_shares_nothing_and_weighs_the_same(state):
    copy = states.clone(state)
    same(copy, state)
    for a, b in zip(states.leaves(copy), states.leaves(state), strict=True):
        assert a is not b
        assert a.numel() == 0 or a.data_ptr() != b.data_ptr()
    assert states.nbytes(copy) == sum(8 * leaf.numel() for leaf in states.leaves(state))


def test_leaves_are_named_by_their_path():
    state = Two(Two(leaf(()), leaf(())), (leaf(()), Nothing()))
    assert list(states.flatten(state)) == ["first.first", "first.second", "second.0"]


def test_detached_leaves_have_no_history():
    state = Two(leaf((2,)).requires_grad_() * 2, leaf(()))
    assert state.first.requires_grad
    assert not states.detach(state).first.requires_grad


def test_missing_and_unknown_leaves_are_named():
    state = Two(leaf(()), leaf(()))
    with pytest.raises(ValueError, match=r"missing .*'second'.*, unknown .*'third'"):
        states.unflatten(state, {"first": leaf(()), "third": leaf(())})


def test_what_is_no_state_is_refused():
    with pytest.raises(TypeError, match="not <class 'float'>"):
        states.map_state(torch.neg, Two(leaf(()), 1.0))


def test_states_of_another_structure_do_not_combine():
    with pytest.raises(ValueError, match="zip"):
        states.map_state(torch.add, Two(leaf(()), leaf(())), (leaf(()),))
