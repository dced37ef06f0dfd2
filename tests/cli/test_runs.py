"""What the commands about finished runs make of their configs."""

from __future__ import annotations

import pytest

from memrl.cli.runs import shared_levels
from memrl.config.composition import compose
from memrl.pipeline.report import titled


def test_each_task_of_a_comparison_has_its_own_levels():
    tasks = [{"optimal": 1.0}, {"optimal": 1.0, "memoryless": 0.5}, {"optimal": 1.0}]
    assert shared_levels(["A", "B", "A"], tasks) == {"A": {"optimal": 1.0}, "B": tasks[1]}


def test_levels_in_which_the_runs_of_a_task_differ_are_left_out():
    tasks = [{"optimal": 1.0, "memoryless": 0.5}, {"optimal": 1.0, "memoryless": 0.25}]
    assert shared_levels(["A", "A"], tasks) == {"A": {"optimal": 1.0}}


@pytest.mark.parametrize(
    ("ablate", "end"), [(None, ""), ("state", ", without its state"), ("reads", ", reads silenced")]
)
def test_pictures_say_what_of_a_memory_is_silenced(ablate, end):
    config = compose(["memory=ntm", "env=probe/TMaze-v0"])
    assert titled(config, ablate=ablate) == f"ntm on probe/TMaze-v0{end}"
