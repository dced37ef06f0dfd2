"""summary.json of a run: what was trained, how well it does, what it cost."""

from __future__ import annotations

import pytest

import memrl
from memrl.errors import Interrupted, RunError
from memrl.evaluation.compare import read_run
from memrl.run.directory import RunDirectory
from memrl.run.summary import read_summary, write_summary


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "it"
    words = ["+run=smoke", "memory=gru", "seed=3", "run.pictures=false"]
    config = memrl.compose([*words, f"run.dir={folder}"])
    return memrl.train(config, style="quiet", say=lambda line: None)


def test_it_says_what_was_trained_and_how_well_it_does(run):
    read = read_summary(run.path / "summary.json")
    assert (read["agent"], read["memory"], read["env"]) == ("ppo", "gru", "probe/Recall-v0")
    assert read["seed"] == 3
    assert read["parameters"] == sum(p.numel() for p in run.agent.policy.parameters())
    assert read["state_bytes"] == 4 * 128  # float32 of a GRU
    assert read["success"] == read["evaluation"]["success"]["mean"]
    assert read["env_steps"] == run.agent.env_steps
    assert read == run.summary | {"wall_seconds": read["wall_seconds"]}


def test_a_run_without_pictures_draws_none(run):
    suffixes = {path.suffix for path in run.path.rglob("*")}
    assert ".json" in suffixes
    assert not suffixes & {".png", ".gif"}


def test_a_finished_run_can_be_compared(run):
    directory = RunDirectory.open(run.path)
    compared = read_run(directory)
    assert (compared.memory, compared.seed) == ("gru", 3)
    assert compared.scores["success"] == run.summary["success"]
    write_summary(directory.summary, {"memory": "dnc"})
    with pytest.raises(RunError, match="lacks 'env'"):
        read_run(directory)


def test_ctrl_c_in_the_evaluation_says_how_to_finish_the_run(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("memrl.pipeline.training.evaluate_agent", interrupted)
    folder = tmp_path / "a b"
    config = memrl.compose(["+run=smoke", "memory=none", "total_steps=256", f"run.dir={folder}"])
    with pytest.raises(Interrupted, match=rf"continue with: memrl train --resume '{folder}'$"):
        memrl.train(config, style="quiet", say=lambda line: None)
    assert not (folder / "summary.json").exists()
