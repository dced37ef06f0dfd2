"""What is known of a task, listed and true."""

from __future__ import annotations

import importlib

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import memrl
from memrl.envs import envs, make
from memrl.envs.catalogue import EnvCard, Levels, describe_space
from memrl.envs.make import TENSOR_FAMILIES, card
from memrl.envs.minigrid import GRID_IDS
from memrl.pipeline.env_card import references
from memrl.rollout.tokens import Tokens

DESCRIBED = [id for family in TENSOR_FAMILIES.values() for id in family.ids]


@pytest.mark.parametrize("id", DESCRIBED)
def test_a_card_describes_the_environment_that_is_made(id):
    env, known = make(id, **({"bank_size": 2} if id in GRID_IDS else {})), card(id)
    assert known.observation == describe_space(env.observation_space)
    assert known.memory in ("strict", "search", "not needed", None)
    if known.levels is not None:
        assert known.levels.score == "return" or "success" in env.metric_names


@pytest.mark.parametrize("id", DESCRIBED)
def test_guessing_is_no_better_than_forgetting_nor_forgetting_than_the_optimum(id):
    levels = card(id).levels or Levels("success")
    ordered = [levels.guess, levels.memoryless, levels.timed, levels.optimum]
    known = [level for level in ordered if level is not None]
    assert known == sorted(known)


def test_a_foreign_id_has_an_empty_card():
    assert card("CartPole-v1") == EnvCard()


@pytest.mark.parametrize(
    ("id", "need"),
    [
        ("MiniGrid-KeyCorridorS3R3-v0", "search"),
        ("MiniGrid-DoorKey-8x8-v0", "not needed"),
        ("MiniGrid-RedBlueDoors-8x8-v0", "not needed"),
        ("MiniGrid-MemoryS7-v0", "not needed"),
        ("MiniGrid-MemoryS13-v0", "strict"),
        ("BabyAI-GoToSeqS5R2-v0", "strict"),
        ("BabyAI-GoTo-v0", "search"),
        ("BabyAI-GoToLocal-v0", None),  # nobody measured it
        ("popgym-PositionOnlyPendulumEasy-v0", "strict"),
    ],
)
def test_tasks_that_need_a_memory_are_told_from_those_that_do_not(id, need):
    assert card(id).memory == need


def test_the_list_holds_what_the_cards_know():
    entry = next(entry for entry in envs() if entry["id"] == "probe/NBack-v0")
    assert entry == {
        "id": "probe/NBack-v0",
        "kind": "tensor",
        "family": "probe",
        "observation": "1 of 3",
        "memory": "strict",
        "levels": {
            "score": "return",
            "optimum": 1.0,
            "memoryless": 0.5,
            "guess": 0.5,
            "timed": None,
        },
    }


def test_ids_that_nothing_installed_can_make_work_are_not_listed():
    importlib.import_module("minigrid")
    ids = {entry["id"] for entry in envs()}
    assert {"Ant-v5", "BabyAI-GoToObj-v0"} <= ids
    old = {"Ant-v2", "Ant-v3"}  # which Gymnasium before 1.2 can make with mujoco_py
    if not callable(gymnasium.spec("Ant-v2").entry_point):
        old = set()
    assert not {*old, "GymV21Environment-v0", "MiniGrid-WFC-MazeSimple-v0"} & ids


def test_difficulties_are_listed_from_easy_to_hard():
    ids = [id for id in DESCRIBED if id.startswith("popgym")]
    order = [level for id in ids for level in ("Easy", "Medium", "Hard") if level in id]
    assert order == ["Easy", "Medium", "Hard"] * (len(ids) // 3)


def test_a_space_is_told_in_a_few_words():
    space = spaces.Dict(
        {
            "obs": spaces.Box(-1.0, 1.0, (3,), np.float32),
            "image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
            "prev_action": spaces.Discrete(5),
            "cell": spaces.MultiDiscrete([4, 9]),
            "mission": Tokens(56, 18),
            "action_mask": spaces.MultiBinary(6),
        }
    )
    assert describe_space(space).split(", ") == [
        "action_mask 6 flags",
        "cell 2 of up to 9",
        "image 7×7×3 bytes",
        "mission 18 words of 55 known ones",
        "3 numbers",
        "prev_action 1 of 5",
    ]


@pytest.mark.parametrize("shown", ["prev_action", "prev_reward"])
def test_an_agent_that_is_shown_more_is_held_against_the_optimum_alone(shown):
    words = ["env=popgym-CountRecallEasy-v0", f"env.{shown}=true"]
    held = references(memrl.compose(words[:1]), success=False)
    assert {"memoryless", "time alone", "optimal"} <= set(held)
    held = references(memrl.compose(words), success=False)
    assert not {"memoryless", "time alone"} & set(held)


def test_a_curve_is_held_against_what_its_own_options_allow():
    config = memrl.compose(["env=probe/Recall-v0", "+env.cues=10"])
    levels = references(config, success=True)
    assert levels == {"optimal": 1.0, "blind guess": 0.1, "memoryless": 0.1}
    config = memrl.compose(["env=MiniGrid-MemoryS17Random-v0"])
    assert references(config, success=True)["memoryless"] == 0.593
    assert references(memrl.compose(["env=CartPole-v1"]), success=False) == {}


def test_where_every_step_pays_the_previous_reward_may_tell_and_no_memoryless_level_is_claimed():
    shown = "env.prev_reward=true"
    answers = memrl.compose(["env=popgym-RepeatFirstEasy-v0", shown])
    assert "memoryless" not in references(answers, success=False)
    assert "blind guess" in references(answers, success=False)
    only_the_end_pays = memrl.compose(["env=MiniGrid-MemoryS13-v0", shown])
    assert references(only_the_end_pays, success=True)["memoryless"] == 0.5


def test_a_curve_of_successes_is_not_held_against_returns():
    config = memrl.compose(["env=popgym-BattleshipEasy-v0"])
    assert references(config, success=True) == {}
    assert 0 < references(config, success=False)["blind guess"] + 1 < 1


def test_popgyms_levels_follow_the_options_and_the_previous_action():
    id = "popgym-RepeatFirstEasy-v0"
    assert card(id).levels.memoryless == pytest.approx(2 * (1 + 50 * 12 / 51) / 51 - 1)
    assert card(id, decks=8) == card("popgym-RepeatFirstMedium-v0")
    assert card(id, prev_action=True).levels.memoryless == 1
    assert card("popgym-LabyrinthEscapeEasy-v0").memory == "not needed"


def test_a_grid_s_card_follows_the_view_and_the_observation():
    id = "MiniGrid-FourRooms-v0"
    assert card(id, agent_view_size=5).observation == "direction 1 of 4, image 5×5×3 bytes"
    assert card(id, observation="rgb").observation == "direction 1 of 4, image of pixels (rgb)"
    assert [card(id, agent_view_size=side).memory for side in (3, 7)] == ["search", "search"]
    assert card(id, observation="rgb_full").memory is None  # all rooms are in sight
    assert card("MiniGrid-DoorKey-8x8-v0", agent_view_size=3).memory is None  # measured at 7 only
    assert card(id, bank=3, bank_size=5, tile_size=9, prev_action=True) == card(id)


def test_a_sentence_is_seen_where_missions_differ():
    fetch = "MiniGrid-Fetch-5x5-N2-v0"
    assert card(fetch).observation.startswith(
        "direction 1 of 4, image 7×7×3 bytes, mission 6 words"
    )
    assert "mission" not in card("MiniGrid-DoorKey-5x5-v0").observation
    original = "BabyAI-GoToLocal-v0"
    for options in ({}, {"read_text": False}):
        seen = make(original, **options).observation_space
        assert card(original, **options).observation == describe_space(seen)


@pytest.mark.parametrize("id", ["popgym-RepeatFirstEasy-v0", "popgym-PositionOnlyCartPoleEasy-v0"])
def test_an_original_has_the_levels_of_its_tensor_twin(id):
    config = memrl.compose(["env=gymnasium", f"env.id={id}"])
    assert references(config, success=False) == card(id).levels.lines()


def test_nothing_is_known_of_an_original_under_options_of_its_package():
    id, original = "popgym-RepeatFirstEasy-v0", {"family": "gymnasium", "num_decks": 8}
    assert card(id, **original) == EnvCard()
    assert card("MiniGrid-MemoryS7-v0", family="gymnasium", agent_view_size=3).memory == "strict"
