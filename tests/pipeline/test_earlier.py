"""The run that an equal config made before."""

from __future__ import annotations

import pytest

import memrl
from memrl.pipeline.directories import dump, make_directory, name_of
from memrl.pipeline.earlier import earlier_run
from memrl.run.directory import RunDirectory

ONE = memrl.compose(["env=probe/Recall-v0", "memory=gru"])
OTHERS = {
    "seed": {"seed": 7},
    "memory": {"memory": {**ONE.memory, "hidden_dim": 7}},
    "length": {"total_steps": 7},
    "agent": {"agent": ONE.agent.model_copy(update={"lr": 0.7})},
}


def config(root, **changes):
    run = ONE.run.model_copy(update={"root": root, **changes.pop("run", {})})
    return ONE.model_copy(update={"run": run, **changes})


def made(config, *, finished=False):
    run = RunDirectory.create(make_directory(config.run.root, name_of(config)), dump(config))
    if finished:
        run.summary.touch()
    return run


@pytest.mark.parametrize("change", [{"run": {"pictures": False}}, {"threads": 3}])
def test_a_run_of_an_equal_config_is_found(change, tmp_path):
    run = made(config(tmp_path, **change))
    assert earlier_run(config(tmp_path)).path == run.path


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_of_another_config_is_not(other, tmp_path):
    made(config(tmp_path, **OTHERS[other]))
    assert earlier_run(config(tmp_path)) is None


def test_runs_of_one_name_are_told_apart_by_their_configs(tmp_path):
    made(config(tmp_path))
    run = made(config(tmp_path, **OTHERS["agent"]))
    made(config(tmp_path, **OTHERS["memory"]))
    assert earlier_run(config(tmp_path, **OTHERS["agent"])).path == run.path


def test_a_finished_run_comes_before_others(tmp_path):
    made(config(tmp_path))
    run = made(config(tmp_path), finished=True)
    made(config(tmp_path))
    assert earlier_run(config(tmp_path)).path == run.path


def test_a_damaged_config_is_no_earlier_run(tmp_path):
    made(config(tmp_path)).config.write_text("{")
    assert earlier_run(config(tmp_path)) is None


def test_without_a_folder_there_is_no_earlier_run(tmp_path):
    assert earlier_run(config(tmp_path / "none")) is None
