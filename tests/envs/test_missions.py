"""Sentences as the numbers of their words."""

from __future__ import annotations

import gymnasium
import minigrid  # noqa: F401 (registers its ids)
import numpy as np
import pytest
import torch
from minigrid.core.constants import COLOR_NAMES
from minigrid.envs.babyai.core.verifier import (
    LOC_NAMES,
    OBJ_TYPES,
    AfterInstr,
    AndInstr,
    BeforeInstr,
    GoToInstr,
    ObjDesc,
    OpenInstr,
    PickupInstr,
    PutNextInstr,
)

from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY, decode, encode, split


def spec_spaces():
    """Mission spaces of MiniGrid's own ids, one for each class and its arguments."""
    ids = [id for id in gymnasium.registry if id.startswith("MiniGrid-")]
    return {id: gymnasium.make(id).observation_space["mission"] for id in ids}


def every_sentence(space):
    places = space.ordered_placeholders
    if places is None:
        return {space.mission_func()}
    each = [[choice[0] for choice in places]]
    for i, choice in enumerate(places):  # every placeholder's words once
        each += [[*each[0][:i], word, *each[0][i + 1 :]] for word in choice]
    return {space.mission_func(*words) for words in each}


class Everywhere:
    """A level that holds every object in every place: all that an instruction asks of one."""

    def __init__(self, plural):
        self.found = [object(), object()][: 1 + plural]


def described(*what, plural=False):
    desc = ObjDesc(*what)
    desc.find_matching_objs = lambda env: setattr(desc, "obj_set", env.found)
    return desc


@pytest.fixture(scope="module")
def babyai():
    """Sentences of BabyAI's grammar with every word and the longest one."""
    one, many = Everywhere(plural=False), Everywhere(plural=True)
    sentences = [
        GoToInstr(described(kind, colour, place)).surface(level)
        for kind in [None, *OBJ_TYPES]
        for colour in [None, *COLOR_NAMES]
        for place in [None, *LOC_NAMES]
        for level in (one, many)
    ]
    ball = described("ball", "red", "front")
    sentences += [
        OpenInstr(described("door")).surface(one),
        PickupInstr(described("key")).surface(one),
    ]
    put = PutNextInstr(ball, ball)
    both = AndInstr(put, put)
    return [*sentences, *(join(both, both).surface(many) for join in (AfterInstr, BeforeInstr))]


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_the_vocabulary_is_every_word_of_the_packages_grammar_and_no_other(babyai):
    minigrid_own = {s for space in spec_spaces().values() for s in every_sentence(space)}
    words = {word for sentence in minigrid_own.union(babyai) for word in split(sentence)}
    assert words == set(VOCABULARY[1:])


def test_no_word_has_two_numbers():
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_babyais_longest_sentence_fits_exactly(babyai):
    assert max(len(split(sentence)) for sentence in babyai) == LONGEST_BABYAI


def test_decoding_gives_the_sentence_back(babyai):
    assert decode(encode(babyai, LONGEST_BABYAI)) == babyai


def test_numbers_are_places_in_the_vocabulary_and_zeros_fill_the_row():
    tokens = encode(["open the door", "", "a box, then"], 5)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [
        [VOCABULARY.index(word) for word in words]
        for words in (("open", "the", "door", "", ""), [""] * 5, ("a", "box", ",", "then", ""))
    ]


def test_an_unknown_word_is_named_with_its_nearest():
    with pytest.raises(
        ValueError, match=r"mission 'go .* has the word 'boll', .*; did you mean ball\?"
    ):
        encode(["go to the boll"], 5)


def test_too_long_a_sentence_is_an_error():
    with pytest.raises(ValueError, match=r"'open the door' has 3 words, allowed: at most 2"):
        encode(["open the door"], 2)


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_played_missions_are_read_without_loss():
    rng = np.random.default_rng(3)
    ids = [id for id in gymnasium.registry if id.startswith("BabyAI-") and "Boss" not in id]
    for id in [*rng.choice(ids, 11, replace=False), "MiniGrid-LockedRoom-v0"]:
        mission = gymnasium.make(id).reset(seed=5)[0]["mission"]
        assert decode(encode([mission], LONGEST_BABYAI)) == [mission]
