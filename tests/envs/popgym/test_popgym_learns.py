"""The recipe for tasks that ask for a suit: a GRU answers, an agent without a memory guesses."""

from __future__ import annotations

import pytest

import memrl
from memrl.envs.popgym.reference import returns

IDS = ("popgym-RepeatFirstEasy-v0", "popgym-RepeatPreviousEasy-v0")


def score(id: str, run, *words: str) -> float:
    config = memrl.compose(["+run=popgym", f"env={id}", "threads=1", "track=off", *words])
    return memrl.train(config, run, style="quiet", say=lambda sentence: None).summary["return"]


@pytest.mark.nightly
@pytest.mark.parametrize("id", IDS)
def test_a_gru_answers_all_but_perfectly(id, tmp_path):
    assert score(id, tmp_path / "run") >= 0.99


@pytest.mark.nightly
@pytest.mark.parametrize("id", IDS)
def test_without_a_memory_it_guesses(id, tmp_path):
    learned = score(id, tmp_path / "run", "memory=none", "total_steps=150_000")
    assert learned == pytest.approx(returns(id).memoryless, abs=0.03)
