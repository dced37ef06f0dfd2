"""Text in observations as tokens."""

from __future__ import annotations

import gymnasium
import minigrid  # noqa: F401 (registers its ids)
import pytest
from gymnasium import spaces
from minigrid.core.mission import MissionSpace

from memrl.envs.adapters.text import legible, reader_of
from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY, decode, split
from memrl.rollout.tokens import Tokens


def test_text_is_read_letter_by_letter_in_an_order_that_every_process_has():
    reader = reader_of(spaces.Text(5, charset="zebra"))
    assert reader.symbols == ("", *"aberz")
    assert reader.space == Tokens(6, 5)
    assert reader.read("bear").tolist() == [2, 3, 1, 4, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bärr", "the letter 'ä' of 'bärr' is not in its space"),
        ("zebras", "'zebras' has 6 letters; at most 5 fit"),
    ],
)
def test_text_outside_its_space_is_an_error(text, words):
    with pytest.raises(ValueError, match=words):
        reader_of(spaces.Text(5, charset="zebra")).read(text)


def test_a_mission_with_places_is_as_long_as_its_longest_sentence():
    space = MissionSpace(
        lambda how, what: f"{how} {what}", [["go to", "you must look at"], ["the lamp", "a hat"]]
    )
    reader = reader_of(space)
    assert reader.length == 6
    assert reader.symbols == (*VOCABULARY, "hat", "lamp", "look")
    tokens = reader.read("you must look at the lamp")
    assert decode_row(tokens, reader.symbols) == "you must look at the lamp"


def decode_row(tokens, symbols):
    import torch

    return decode(torch.from_numpy(tokens).unsqueeze(0), symbols)[0]


def test_a_mission_that_never_changes_is_not_read():
    assert reader_of(MissionSpace(lambda: "go to the goal")) is None
    one_word = MissionSpace(lambda colour: f"go to the {colour} goal", [["green"]])
    assert reader_of(one_word) is None


def test_babyai_s_missions_are_read_by_its_grammar():
    for id in ("BabyAI-GoToSeqS5R2-v0", "BabyAI-BossLevel-v0"):
        env = gymnasium.make(id, disable_env_checker=True)
        reader = reader_of(env.observation_space["mission"])
        assert (reader.symbols, reader.length) == (VOCABULARY, LONGEST_BABYAI)


@pytest.mark.parametrize("id", ["MiniGrid-Fetch-5x5-N2-v0", "MiniGrid-PutNear-6x6-N2-v0"])
def test_minigrid_s_missions_fit_their_space(id: str):
    env = gymnasium.make(id, disable_env_checker=True)
    reader = reader_of(env.observation_space["mission"])
    missions = [env.reset(seed=seed)[0]["mission"] for seed in range(30)]
    assert [decode_row(reader.read(m), reader.symbols) for m in missions] == missions
    assert len(set(missions)) > 5
    assert max(len(split(m)) for m in missions) == reader.length


def test_text_in_nested_spaces_is_found_under_its_dotted_key():
    space = spaces.Dict({"deep": spaces.Dict({"say": spaces.Text(3)}), "n": spaces.Discrete(2)})
    given, readers = legible(space)
    assert list(readers) == ["deep.say"]
    assert given["deep"]["say"] == readers["deep.say"].space
    assert given["n"] == space["n"]


def test_an_observation_that_is_text_alone_is_called_obs():
    given, readers = legible(spaces.Text(3))
    assert given == readers["obs"].space


def test_tokens_of_nothing_are_refused():
    with pytest.raises(ValueError, match="num_symbols is 1, length 4"):
        Tokens(1, 4)
