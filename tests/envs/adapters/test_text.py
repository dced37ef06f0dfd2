"""Text in observations as tokens."""

from __future__ import annotations

import gymnasium
import minigrid  # noqa: F401 (registers its ids)
import pytest
from gymnasium import spaces
from minigrid.core.mission import MissionSpace

from memrl.envs.adapters.text import tokenized, tokenizer_of
from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY, decode, split
from memrl.rollout.tokens import Tokens


def test_text_is_read_letter_by_letter_in_an_order_that_every_process_has():
    tokenizer = tokenizer_of(spaces.Text(5, charset="zebra"))
    assert tokenizer.symbols == ("", *"aberz")
    assert tokenizer.space == Tokens(6, 5)
    assert tokenizer.encode("bear").tolist() == [2, 3, 1, 4, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bärr", "'bärr' has the letter 'ä', allowed: aberz"),
        ("zebras", "'zebras' has 6 letters, allowed: at most 5"),
    ],
)
def test_text_outside_its_space_is_an_error(text, words):
    with pytest.raises(ValueError, match=words):
        tokenizer_of(spaces.Text(5, charset="zebra")).encode(text)


def test_a_mission_with_places_is_as_long_as_its_longest_sentence():
    space = MissionSpace(
        lambda how, what: f"{how} {what}", [["go to", "you must look at"], ["the lamp", "a hat"]]
    )
    tokenizer = tokenizer_of(space)
    assert tokenizer.length == 6
    assert tokenizer.symbols == (*VOCABULARY, "hat", "lamp", "look")
    tokens = tokenizer.encode("you must look at the lamp")
    assert decode_row(tokens, tokenizer.symbols) == "you must look at the lamp"


def decode_row(tokens, symbols):
    import torch

    return decode(torch.from_numpy(tokens).unsqueeze(0), symbols)[0]


def test_a_mission_that_never_changes_is_not_read():
    assert tokenizer_of(MissionSpace(lambda: "go to the goal")) is None
    one_word = MissionSpace(lambda colour: f"go to the {colour} goal", [["green"]])
    assert tokenizer_of(one_word) is None


def test_babyai_s_missions_are_read_by_its_grammar():
    for id in ("BabyAI-GoToSeqS5R2-v0", "BabyAI-BossLevel-v0"):
        env = gymnasium.make(id, disable_env_checker=True)
        tokenizer = tokenizer_of(env.observation_space["mission"])
        assert (tokenizer.symbols, tokenizer.length) == (VOCABULARY, LONGEST_BABYAI)


@pytest.mark.parametrize("id", ["MiniGrid-Fetch-5x5-N2-v0", "MiniGrid-PutNear-6x6-N2-v0"])
def test_minigrid_s_missions_fit_their_space(id: str):
    env = gymnasium.make(id, disable_env_checker=True)
    tokenizer = tokenizer_of(env.observation_space["mission"])
    missions = [env.reset(seed=seed)[0]["mission"] for seed in range(30)]
    assert [decode_row(tokenizer.encode(m), tokenizer.symbols) for m in missions] == missions
    assert len(set(missions)) > 5
    assert max(len(split(m)) for m in missions) == tokenizer.length


def test_text_in_nested_spaces_is_found_under_its_dotted_key():
    space = spaces.Dict({"deep": spaces.Dict({"say": spaces.Text(3)}), "n": spaces.Discrete(2)})
    given, tokenizers = tokenized(space)
    assert list(tokenizers) == ["deep.say"]
    assert given["deep"]["say"] == tokenizers["deep.say"].space
    assert given["n"] == space["n"]


def test_an_observation_that_is_text_alone_is_called_obs():
    given, tokenizers = tokenized(spaces.Text(3))
    assert given == tokenizers["obs"].space


def test_tokens_of_nothing_are_refused():
    with pytest.raises(ValueError, match="num_symbols is 1, length 4"):
        Tokens(1, 4)
