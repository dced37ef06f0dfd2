"""A minute or two tells whether R2D2 learns: with a memory, and from goals that it never wanted."""

from __future__ import annotations

import pytest

import memrl


def success(words: list[str], run) -> float:
    """Over 1,000 episodes after training."""
    config = memrl.compose([*words, "threads=1", "track=off"])
    summary = memrl.train(config, run, style="quiet", say=lambda sentence: None).summary
    return float(summary["success"])


RECALL = ["agent=r2d2", "env=probe/Recall-v0", "total_steps=60_000"]


@pytest.mark.nightly
def test_a_memory_answers_and_none_guesses(tmp_path):
    assert success([*RECALL, "memory=lstm"], tmp_path / "lstm") >= 0.95
    assert success([*RECALL, "memory=none"], tmp_path / "none") <= 0.31  # four standard errors


@pytest.mark.nightly
def test_hindsight_solves_what_is_not_begun_without(tmp_path):
    assert success(["+run=goal"], tmp_path / "with") >= 0.9
    assert success(["+run=goal", "agent.hindsight.kind=none"], tmp_path / "without") <= 0.2
