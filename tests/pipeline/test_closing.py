"""Environments that a run made are closed when nothing steps them any more."""

from __future__ import annotations

import multiprocessing

import pytest

import memrl
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.pipeline import training
from memrl.pipeline.training import TrainJob

WORDS = ["env=CartPole-v1", "env.num=2", "memory=none", "agent.steps=4", "agent.bptt=4",
         "agent.minibatches=1", "total_steps=8", "evaluate.episodes=1", "evaluate.max_steps=2",
         "threads=1", "track=off", "run.pictures=false"]  # fmt: skip


@pytest.fixture
def left_open(monkeypatch):
    """The Gymnasium environments that were made and not closed."""
    alive, make, close = [], GymnasiumAdapter.__init__, GymnasiumAdapter.close

    def made(env, *given, **options):
        make(env, *given, **options)
        alive.append(env)

    def closed(env):
        close(env)
        alive.remove(env)

    monkeypatch.setattr(GymnasiumAdapter, "__init__", made)
    monkeypatch.setattr(GymnasiumAdapter, "close", closed)
    return alive


def test_a_run_that_was_trained_and_opened_leaves_no_environment(left_open, tmp_path):
    run = memrl.train(memrl.compose([*WORDS, f"run.dir={tmp_path / 'run'}"]), style="quiet")
    assert not left_open
    assert memrl.open_run(run.path).agent.env_steps == 8
    assert not left_open


def test_a_job_whose_agent_cannot_be_built_leaves_no_environment(left_open):
    with pytest.raises(ValueError, match=r"bonus\.key"):
        TrainJob(memrl.compose([*WORDS, "agent.bonus.kind=count", "agent.bonus.key=nothing"]))
    assert not left_open


def test_a_run_that_fails_leaves_no_environment(left_open, monkeypatch, tmp_path):
    def fail(*given, **options):
        raise RuntimeError("no more")

    monkeypatch.setattr(training, "run", fail)
    with pytest.raises(RuntimeError, match="no more"):
        memrl.train(memrl.compose([*WORDS, f"run.dir={tmp_path / 'run'}"]), style="quiet")
    assert not left_open


@pytest.mark.slow
def test_no_worker_outlives_an_agent_that_was_opened(tmp_path):
    words = [*WORDS, "+env.vectorization=async", f"run.dir={tmp_path / 'run'}"]
    run = memrl.train(memrl.compose(words), style="quiet")
    assert memrl.open_run(run.path).agent.env_steps == 8
    assert not multiprocessing.active_children()
