"""What a course learns, and what it leaves."""

from __future__ import annotations

from memrl.continual.course import learn_alone


def test_tasks_without_a_success_are_not_learned_alone():
    """Forward transfer is of successes: what was trained for it was for nothing."""
    said, scores = [], [{"env": "A", "success": 0.5}, {"env": "B", "success": None}]
    no_stages = [None, None]  # which would fail if they were learned
    assert learn_alone(no_stages, [scores], said.append) is None
    assert said == ["alone=true trains nothing: forward transfer is of successes, B has none"]
