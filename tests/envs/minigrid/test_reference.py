"""The published levels of the Memory tasks come out of the tables."""

from __future__ import annotations

import pytest

from memrl.envs.catalogue import Levels
from memrl.envs.minigrid import MEMORY_IDS
from memrl.envs.minigrid.reference import memory_card, reference

PUBLISHED = {  # optimal mean steps, optimal mean return, best blind return; view size 7
    "MiniGrid-MemoryS7-v0": (6.00, 0.9780, 0.492),
    "MiniGrid-MemoryS9-v0": (7.17, 0.9841, 0.494),
    "MiniGrid-MemoryS11-v0": (9.50, 0.9859, 0.495),
    "MiniGrid-MemoryS13-v0": (11.70, 0.9875, 0.496),
    "MiniGrid-MemoryS13Random-v0": (8.58, 0.9909, 0.497),
    "MiniGrid-MemoryS17Random-v0": (10.86, 0.9932, 0.498),
}


@pytest.mark.parametrize("id", MEMORY_IDS)
def test_levels_are_the_published_ones(id: str):
    levels = reference(id)
    steps, best, guess = PUBLISHED[id]
    assert levels.optimal_steps == pytest.approx(steps, abs=0.005)
    assert levels.optimal_return == pytest.approx(best, abs=0.00005)
    assert levels.guess_return == pytest.approx(guess, abs=0.0005)


@pytest.mark.parametrize("id", MEMORY_IDS)
def test_no_pose_leaks_the_cue_to_a_view_of_3(id: str):
    card = memory_card(id, agent_view_size=3)
    assert card.levels == Levels("success", optimum=1.0, memoryless=0.5, guess=0.5)
    assert card.memory == "strict"
    assert card.observation == "direction 1 of 4, image 3×3×3 bytes"


@pytest.mark.parametrize("id", MEMORY_IDS)
def test_the_card_says_what_the_tables_say(id: str):
    card = memory_card(id)
    assert card.levels is not None
    assert card.levels.memoryless == reference(id).memoryless_success
    assert (card.memory == "not needed") == (card.levels.memoryless > 0.98)


@pytest.mark.slow
def test_memory_is_strict_where_the_crossing_does_not_show_the_cue():
    strict = {id: reference(id).memoryless_success == 0.5 for id in MEMORY_IDS}
    assert [id for id, is_strict in strict.items() if is_strict] == [
        "MiniGrid-MemoryS11-v0",
        "MiniGrid-MemoryS13-v0",
    ]
    assert reference("MiniGrid-MemoryS9-v0", 5).memoryless_success == 0.5
    card = memory_card("MiniGrid-MemoryS7-v0", agent_view_size=5)
    assert card.levels == Levels("success", optimum=1.0, memoryless=None, guess=0.5)  # it leaks
    assert card.memory is None
