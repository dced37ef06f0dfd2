"""A mistake in a memory's name or options is answered by a sentence that says what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memrl import memory
from memrl.memory import registry


def test_a_built_core_has_the_options_asked_for():
    core = memory.build("dnc", 5, {"slots": 7, "hidden_dim": 11})
    assert type(core) is memory.DNC
    assert (core.in_dim, core.out_dim, core.slots) == (5, 11, 7)


@pytest.mark.parametrize("name", memory.names())
def test_defaults_build_the_class_of_that_name(name):
    assert type(memory.build(name, 5)) is memory.core_class(name)


def test_an_unknown_memory_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"'dncc'; did you mean dnc\? \(known: .*dnc,"):
        memory.build("dncc", 5)


def test_a_name_like_no_other_gets_the_list_only():
    with pytest.raises(ValueError, match=r"unknown memory 'qqqq' \(known: "):
        memory.core_class("qqqq")


def test_an_unknown_option_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"no option 'slot'; did you mean slots.*word_dim"):
        memory.build("ntm", 5, {"slot": 7})


@given(st.integers(max_value=0))
def test_a_size_below_one_is_refused_with_the_bound(size):
    with pytest.raises(ValueError, match=f"option slots={size}: .*greater than or equal to 1"):
        memory.build("ntm", 5, {"slots": size})


@pytest.mark.parametrize("value", ["16", 16.0, True, None])
def test_a_size_of_another_type_is_refused(value):
    with pytest.raises(ValueError, match="memory 'dnc', option slots="):
        memory.build("dnc", 5, {"slots": value})


def test_a_choice_out_of_the_list_names_the_list():
    with pytest.raises(ValueError, match=r"='zero': .*'constant', 'learned' or 'random'"):
        memory.build("ntm", 5, {"memory_init": "zero"})


def test_a_choice_out_of_the_list_gets_the_nearest_one():
    with pytest.raises(ValueError, match=r"write='olden': .*'merge'; did you mean oldest\?$"):
        memory.build("memnn", 5, {"write": "olden"})


def test_a_choice_like_no_other_gets_the_list_only():
    with pytest.raises(ValueError, match=r"write=7: .*'append', .* or 'merge'$"):
        memory.build("memnn", 5, {"write": 7})


def test_an_input_without_width_is_refused():
    with pytest.raises(ValueError, match="in_dim is 0, out_dim 128"):
        memory.build("lstm", 0)


def test_two_memories_cannot_share_a_name(monkeypatch):
    monkeypatch.setattr(registry.REGISTRY, "_classes", dict(registry.REGISTRY._classes))
    with pytest.raises(ValueError, match="two memories are called 'ntm'"):
        memory.register("ntm")(memory.DNC)
