"""The runs of a continual course, and what is no course."""

from __future__ import annotations

from pathlib import Path

import pytest

from memrl.continual.stages import alone, refuse_other_tasks, split_tasks, stages

TASKS = split_tasks("[probe/Recall-v0 env.delay=1,probe/Recall-v0 env.delay=4,probe/Recall-v0]")
ROOT = Path("root")


def made(method):
    return stages(TASKS, ["memory=gru", "total_steps=64"], method, ROOT)


def test_each_run_begins_with_the_agent_of_the_one_before():
    first, second, third = made("finetune")
    assert [stage.config.env.model_extra["delay"] for stage in (first, second)] == [1, 4]
    assert [stage.config.init for stage in (first, second, third)] == [
        None, first.path, second.path
    ]  # fmt: skip
    assert str(second.path) == "root/finetune/1-probe-Recall-v0-env.delay-4"
    assert all(stage.config.run.dir == stage.path for stage in (first, second, third))
    assert all(stage.config.agent.rehearsal.runs == () for stage in (first, second, third))


def test_clear_rehearses_all_earlier_tasks_and_distil_is_taught_by_the_last_agent():
    runs = [str(stage.path) for stage in made("clear")]
    assert [s.config.agent.rehearsal.runs for s in made("clear")] == [(), (runs[0],), (*runs[:2],)]
    taught = made("distil")
    assert [stage.config.agent.teacher.runs for stage in taught[:2]] == [(), (str(taught[0].path),)]
    assert taught[2].config.agent.teacher.runs == (str(taught[1].path),)


def test_a_progressive_network_has_a_column_for_each_earlier_task():
    columns = [(stage.config.policy.columns, stage.config.init) for stage in made("progressive")]
    paths = [stage.path for stage in made("progressive")]
    assert columns == [(0, None), (1, paths[0]), (2, paths[1])]


def test_all_methods_share_the_first_run_which_is_also_that_of_the_first_task_alone():
    firsts = {made(method)[0].path for method in ("finetune", "clear", "progressive")}
    assert firsts == {Path("root/first/0-probe-Recall-v0-env.delay-1")}
    base = alone(TASKS, ["memory=gru"], ROOT, made("finetune")[0])
    assert base[0].path in firsts
    assert [stage.config.init for stage in base] == [None] * 3
    assert base[2].path == Path("root/alone/2-probe-Recall-v0")


def test_options_of_a_method_reach_the_runs_that_read_them():
    words = ["memory=gru", "agent.rehearsal.chunks=2", "agent.teacher.weight=3.0"]
    clear, distil = (stages(TASKS, words, method, ROOT) for method in ("clear", "distil"))
    assert [stage.config.agent.rehearsal.chunks for stage in clear] == [16, 2, 2]
    assert [stage.config.agent.teacher.weight for stage in clear] == [1.0, 1.0, 1.0]
    assert [stage.config.agent.teacher.weight for stage in distil] == [1.0, 3.0, 3.0]
    assert alone(TASKS, words, ROOT, clear[0])[1].config.agent.rehearsal.chunks == 16


def test_options_of_one_task_count_before_those_of_all():
    tasks = split_tasks("[probe/Recall-v0 env.delay=1,probe/Recall-v0]")
    both = stages(tasks, ["env.delay=5"], "finetune", ROOT)
    assert [stage.config.env.model_extra["delay"] for stage in both] == [1, 5]
    assert alone(tasks[::-1], ["env.delay=5"], ROOT, both[0])[1].config.env.model_extra == {
        **both[0].config.env.model_extra, "delay": 1
    }  # fmt: skip


def test_a_root_may_have_any_name():
    """With a comma Hydra would read a sweep."""
    first, second, _ = stages(TASKS, ["memory=gru"], "clear", Path("a,b (1)/c=d"))
    assert second.config.init == first.path
    assert second.config.agent.rehearsal.runs == (str(first.path),)


@pytest.mark.parametrize(
    ("agent", "method", "sentence"),
    [
        ("nec", "finetune", "memrl continual takes no agent=nec: no task could begin with what it"),
        ("plan", "progressive", "memrl continual takes no agent=plan: no task could"),
        (
            "r2d2",
            "distil",
            r"methods=\[distil\] needs agent.teacher, which agent=r2d2 does not have",
        ),
    ],
)
def test_an_agent_that_does_not_learn_by_a_method_is_refused(agent, method, sentence):
    """Before its first task is learned, which may take hours."""
    with pytest.raises(ValueError, match=sentence):
        stages(TASKS, [f"agent={agent}"], method, ROOT)


@pytest.mark.parametrize("text", ["", "[]", "[A]", "A,B", "[A,,B]"])
def test_a_course_has_two_tasks_or_more(text):
    with pytest.raises(ValueError, match="a list of two tasks or more is wanted"):
        split_tasks(text)


def test_tasks_with_other_observations_are_refused():
    other = stages(split_tasks("[probe/Recall-v0,probe/Recall-v0 env.cues=7]"), [], "clear", ROOT)
    with pytest.raises(ValueError, match=r"tasks: probe/Recall-v0 has other observations: obs is"):
        refuse_other_tasks(other)
    refuse_other_tasks(made("clear"))
