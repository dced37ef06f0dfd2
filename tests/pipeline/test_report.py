"""The sentence about an evaluation tells what it rests on."""

from __future__ import annotations

from run_fakes import Countdown, WalkAgent

from memrl.evaluation.evaluate import evaluate
from memrl.pipeline.report import evaluation_line


def test_episodes_that_were_cut_off_are_told():
    result = evaluate(WalkAgent(), Countdown(3), episodes=9, seed=1, max_steps=5)
    assert result.cut_off > 0
    said = f"({result.cut_off} cut off after evaluate.max_steps, counted up to that step)"
    assert f"{result.episodes} episodes {said}:" in evaluation_line(result)


def test_where_none_was_cut_off_nothing_is_told():
    result = evaluate(WalkAgent(), Countdown(3), episodes=9, seed=1)
    assert evaluation_line(result).startswith("9 episodes:  success")
