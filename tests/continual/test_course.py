"""What a course learns, and what it leaves."""

from __future__ import annotations

from memrl.continual.course import learn_alone
from memrl.continual.stages import split_tasks, stages


def test_tasks_without_a_success_are_not_learned_alone(tmp_path):
    """Forward transfer is of successes: what was trained for it was for nothing."""
    tasks = split_tasks("[probe/Recall-v0,probe/NBack-v0]")
    made, said = stages(tasks, ["memory=gru"], "finetune", tmp_path), list[str]()
    scores = [{"env": "A", "success": 0.5}, {"env": "B", "success": None}]
    assert learn_alone(made, [scores], said.append) is None
    assert said == ["alone=true trains nothing: forward transfer is of successes, B has none"]
    assert not any(tmp_path.iterdir())
