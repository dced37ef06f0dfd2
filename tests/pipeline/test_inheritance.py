"""``init=RUN``: a run begins with the weights of another one, as far as they fit."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch
from small_fits import QUICK
from torch import nn

import memrl
from memrl.errors import CheckpointError, RunError
from memrl.nn.normalise import RunningNorm
from memrl.pipeline.inheritance import Weights, fill, weights_of
from memrl.pipeline.loading import read_config
from memrl.pipeline.training import TrainJob
from memrl.run.directory import RunDirectory
from memrl.supervised.config import compose_fit
from memrl.supervised.fitting import FitJob, fit_task
from memrl.tracking.metrics_file import is_time

WORDS = ["env=probe/Recall-v0", "env.num=2", "agent.steps=8", "agent.bptt=4",
         "agent.minibatches=1", "total_steps=64", "evaluate.episodes=3", "threads=1", "track=off",
         "run.pictures=false", "memory=gru", "memory.hidden_dim=7",
         "policy.discrete_dim=9"]  # fmt: skip
OTHER_AGENT = [word for word in WORDS if not word.startswith("agent.")]
FIT = [*QUICK, "task.bits=8", "sequences=6"]  # 9 features, as in WORDS


def trained(path, *words, say=str):
    return memrl.train(memrl.compose([*WORDS, f"run.dir={path}", *words]), style="quiet", say=say)


def fitted(path, *words, say=str):
    return fit_task(compose_fit([*FIT, f"run.dir={path}", *words]), style="quiet", say=say)


def rows(run):
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if not is_time(k)} for row in csv.DictReader(file)]


def same(network, other):
    there = other.state_dict()
    return {name for name, x in network.state_dict().items() if torch.equal(x, there[name])}


def begun(*words):
    """A job that has taken over what ``init`` among the words names, and what it said."""
    job = TrainJob(memrl.compose([*WORDS, *words]))
    return job, job.inherit(weights_of(job.config.init))


def test_all_weights_of_an_equal_network_are_taken(tmp_path):
    first = trained(tmp_path / "first")
    job, said = begun("seed=5", f"init={first.path}")
    assert same(job.learner.policy, first.agent.policy) == {*first.agent.policy.state_dict()}
    parts = "encoder 2 of 2 tensors, memory 4 of 4 tensors, heads 4 of 4 tensors"
    assert said == f"init={first.path}: {parts}"


def test_a_critics_returns_keep_their_scale(tmp_path):
    norm = RunningNorm(1, clip=None)
    norm.update(torch.tensor([[2.0], [6.0]]), torch.tensor([True, True]))
    critic, own = nn.ModuleDict({"critic": nn.Linear(3, 1)}), RunningNorm(1, clip=None)
    weights = Weights(tmp_path, critic.state_dict(), norm.state_dict())
    other = nn.ModuleDict({"critic": nn.Linear(3, 1), "core": nn.Linear(2, 1)})
    assert fill(other, weights, own).endswith("heads 2 of 2 tensors, statistics of returns")
    assert own.mean.item() == 4
    wider = nn.ModuleDict({"critic": nn.Linear(5, 1)})
    new = RunningNorm(1, clip=None)
    fill(wider, weights, new)  # its bias fits, but what it predicts is new
    assert new.count.item() == 0


def test_a_fits_memory_is_taken_and_the_rest_of_the_policy_stays_new(tmp_path):
    fit = fitted(tmp_path / "fit")
    job, said = begun(f"init={fit.path}")
    assert same(job.learner.policy.core, fit.learner.model.core) == {
        *fit.learner.model.core.state_dict()
    }
    assert said.endswith("encoder 0 of 2 tensors, memory 4 of 4 tensors, heads 0 of 4 tensors")


def test_a_fit_takes_the_memory_of_an_agent(tmp_path):
    said = []
    run = trained(tmp_path / "run")
    fitted(tmp_path / "fit", f"init={run.path}", say=said.append)
    assert f"init={run.path}: memory 4 of 4 tensors, heads 0 of 2 tensors" in said


def test_shapes_that_differ_are_told_and_what_fits_is_taken(tmp_path):
    fit = fitted(tmp_path / "fit")
    _, said = begun(f"init={fit.path}", "policy.discrete_dim=11")
    assert "memory 3 of 4 tensors (shapes differ: core." in said
    assert "[21, 9] there, [21, 11] here)" in said


def test_many_shapes_that_differ_are_counted():
    network = nn.Sequential(*(nn.Linear(2, 3) for _ in range(3)))
    there = {name: torch.zeros(5) for name in network.state_dict()} | {"1.bias": torch.ones(3)}
    said = fill(network, Weights(Path("there"), there))
    assert said == (
        "init=there: heads 1 of 6 tensors (shapes differ: 0.weight [5] there, [3, 2] here; 0.bias "
        "[5] there, [3] here and 3 more)"
    )
    assert network[1].bias.tolist() == [1, 1, 1]


def test_a_run_of_which_nothing_fits_is_refused_and_leaves_nothing(tmp_path):
    run = trained(tmp_path / "run")
    with pytest.raises(RunError, match="run has no weights that fit: memory 0 of 3 tensors"):
        fitted(tmp_path / "fit", f"init={run.path}", "memory=lstm", "memory.hidden_dim=5")
    assert not (tmp_path / "fit").exists()


def test_what_has_no_weights_takes_none():
    with pytest.raises(RunError, match="that fit: what is to begin with them has none itself"):
        fill(nn.Identity(), Weights(Path("there"), {"core.weight": torch.zeros(5)}))


def test_a_run_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    RunDirectory.create(tmp_path / "copy", "seed: 1\n")
    with pytest.raises(RunError, match=r"no run at .*/cpoy: give the .*; did you mean .*/copy\?"):
        trained(tmp_path / "new", f"init={tmp_path / 'cpoy'}")


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    run = trained(tmp_path / "run")
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(CheckpointError, match=r"run has no checkpoint yet; memrl train --resume"):
        weights_of(run.path)


def test_a_run_without_a_network_is_refused(tmp_path):
    words = [word for word in OTHER_AGENT if not word.startswith(("memory", "policy"))]
    words += ["agent=mfec", f"run.dir={tmp_path / 'run'}"]
    run = memrl.train(memrl.compose(words), style="quiet", say=str)
    with pytest.raises(RunError, match="was made by agent=mfec, whose weights nothing else takes"):
        weights_of(run.path)


def test_r2d2_begins_with_the_weights_in_its_target_network_too(tmp_path):
    words = ["agent=r2d2", "agent.steps=8", "agent.replay.fill=8", "agent.replay.capacity=200"]
    words, path = [*OTHER_AGENT, *words], tmp_path / "run"
    run = memrl.train(memrl.compose([*words, f"run.dir={path}"]), style="quiet", say=str)
    job = TrainJob(memrl.compose([*words, "seed=5", f"init={path}"]))
    job.inherit(weights_of(path))
    learner = job.learner.learner
    assert same(learner.network, run.agent.policy) == {*run.agent.policy.state_dict()}
    assert same(learner.target, run.agent.policy) == {*run.agent.policy.state_dict()}


def test_a_resumed_run_needs_the_other_one_no_more_and_goes_on_bit_for_bit(tmp_path):
    first = trained(tmp_path / "first")
    words = ["seed=5", f"init={first.path}", "agent.lr=1e-3", "agent.lr_end=1e-3"]
    whole, half = trained(tmp_path / "whole", *words), tmp_path / "half"
    trained(half, *words, "total_steps=32")
    shutil.rmtree(first.path)
    directory = RunDirectory.open(half)
    memrl.train(read_config(directory, total_steps=64), directory, style="quiet", say=str)
    assert rows(half) == rows(whole.path)
    assert len(rows(half)) == 4


def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_with_them_again(tmp_path):
    first = trained(tmp_path / "first")
    whole = trained(tmp_path / "whole", "seed=5", f"init={first.path}")
    shutil.copytree(whole.path, tmp_path / "again")
    for left in ("checkpoints", "metrics.csv"):
        path = tmp_path / "again" / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    directory, said = RunDirectory.open(tmp_path / "again"), []
    memrl.train(read_config(directory), directory, style="quiet", say=said.append)
    assert rows(tmp_path / "again") == rows(whole.path)
    assert any(line.startswith(f"init={first.path}: encoder 2 of 2") for line in said)


def test_weights_that_were_taken_over_are_not_taken_for_learned(tmp_path):
    first, said = trained(tmp_path / "first"), []
    few = ["agent=r2d2", "agent.replay.fill=9_000", f"init={first.path}"]
    config = memrl.compose([*OTHER_AGENT, *few, f"run.dir={tmp_path / 'run'}"])
    memrl.train(config, style="quiet", say=said.append)
    assert any("nothing was learned in" in line for line in said)


def test_a_fit_takes_all_of_an_equal_fit(tmp_path):
    first = fitted(tmp_path / "first")
    job = FitJob(compose_fit([*FIT, "seed=5", f"init={first.path}"]))
    job.inherit(weights_of(first.path))
    assert same(job.learner.model, first.learner.model) == {*first.learner.model.state_dict()}


def test_a_path_is_taken_as_it_is_written(tmp_path):
    assert str(memrl.compose(["init=s/a(1)"]).init) == "s/a(1)"
