"""memrl distil: an agent learns what trained ones do; the result is a run like any other."""

from __future__ import annotations

import csv
import json
import shutil
from types import SimpleNamespace

import pytest
from gymnasium import spaces
from test_app import memrl, sentence  # noqa: F401  a fixture

import memrl as library
from memrl.envs.equal_spaces import refuse_other_spaces
from memrl.pipeline.loading import read_config
from memrl.run.directory import RunDirectory
from memrl.tracking.metrics_file import is_time

SMALL = ["env.num=2", "agent.steps=8", "agent.bptt=4", "agent.minibatches=1", "total_steps=64",
         "evaluate.episodes=3", "threads=1", "track=off", "run.pictures=false",
         "memory.hidden_dim=7", "agent.lr=1e-3", "agent.lr_end=1e-3"]  # fmt: skip
ENV = ["env=probe/Recall-v0", "env.delay=1", "env.prev_action=true"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("taught") / "teacher"
    words = [*ENV, *SMALL, "memory=lstm", f"run.dir={path}"]
    library.train(library.compose(words), style="quiet", say=str)
    return path


def rows(run):
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if not is_time(k)} for row in csv.DictReader(file)]


def test_a_student_is_a_run_in_its_teachers_environment(memrl, teacher, tmp_path):  # noqa: F811
    shutil.copytree(teacher, "teacher")
    outcome = memrl("distil", "teacher", "memory=gru", *SMALL, "run.dir=student")
    assert outcome.code == 0, outcome.err
    config = read_config(RunDirectory.open("student"))
    assert (config.env.id, config.env.prev_action) == ("probe/Recall-v0", True)
    assert config.env.model_extra["delay"] == 1
    assert (config.agent.policy_coef, config.agent.teacher.runs) == (0.0, ("teacher",))
    assert all(float(row["train/teacher_kl"]) >= 0 for row in rows(tmp_path / "student"))
    shutil.rmtree("teacher")
    assert json.loads(memrl("evaluate", "student", "--json").out)["episodes"] == 3
    gone = sentence(memrl("train", "--resume", "student", "total_steps=96"))
    assert "there is no run at teacher" in gone


def test_a_student_that_was_stopped_goes_on_bit_for_bit(memrl, teacher, tmp_path):  # noqa: F811
    words = ["distil", teacher, teacher, "memory=gru", *SMALL]
    assert memrl(*words, "run.dir=whole").code == 0
    assert memrl(*words, "total_steps=32", "run.dir=half").code == 0
    assert memrl("train", "--resume", "half", "total_steps=64").code == 0
    assert rows(tmp_path / "half") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "half")) == 4


def test_a_teacher_in_another_environment_is_refused(memrl, teacher):  # noqa: F811
    said = sentence(memrl("distil", teacher, "memory=gru", "env=probe/Recall-v0", *SMALL))
    assert "teacher has other observations: prev_action is Discrete(" in said
    assert said.endswith("there, absent here")


def test_a_teacher_with_other_actions_is_refused():
    observed = spaces.Dict({"obs": spaces.Discrete(5)})
    one, two = (
        SimpleNamespace(observation_space=observed, action_space=spaces.Discrete(n)) for n in (3, 4)
    )
    refuse_other_spaces("a run", one, one)
    with pytest.raises(ValueError, match=r"a run has other actions: Discrete\(3\) there, Discr"):
        refuse_other_spaces("a run", one, two)


def test_a_teacher_without_a_checkpoint_is_refused(memrl, teacher):  # noqa: F811
    shutil.copytree(teacher, "teacher", ignore=lambda *_: ["checkpoints"])
    said = sentence(memrl("distil", "teacher", "memory=gru", *SMALL))
    assert "teacher has no last checkpoint yet; memrl train --resume teacher continues it" in said


def test_a_teacher_that_is_not_there_is_answered_with_the_nearest(memrl, teacher):  # noqa: F811
    shutil.copytree(teacher, "teacher")
    assert "no run at teachr: give" in (said := sentence(memrl("distil", "teachr", *SMALL)))
    assert said.endswith("; did you mean teacher?")


def test_a_teacher_that_has_no_distribution_is_refused(memrl):  # noqa: F811
    own = [word for word in SMALL if not word.startswith(("agent", "memory"))]
    assert memrl("train", "agent=mfec", *ENV, *own, "run.dir=teacher").code == 0
    said = sentence(memrl("distil", "teacher", "memory=gru", *SMALL))
    assert "teacher was made by agent=mfec, which has no distribution of actions (allow" in said


def test_a_student_of_another_agent_is_refused(memrl):  # noqa: F811
    told = sentence(memrl("distil", "teacher", "agent=r2d2", "memory=gru"))
    assert "memrl distil takes no agent=r2d2: only agent=ppo learns from teachers" in told


def test_distil_wants_a_run(memrl):  # noqa: F811
    assert "wants the run of a teacher, as in memrl distil" in sentence(memrl("distil", *SMALL))
