"""Runs of episodic agents: saved with their dictionaries, continued bit for bit, told apart."""

from __future__ import annotations

import csv

import pytest
import torch

import memrl
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.loading import read_config
from memrl.run.directory import RunDirectory
from memrl.tracking.metrics_file import is_time

WORDS = {
    "nec": ["agent.horizon=4", "agent.warmup=40", "agent.batch=8"],
    "mfec": [],
    "plan": [],
}
SMALL = [
    "env=probe",
    "env.num=3",
    "agent.steps=32",
    "threads=1",
    "evaluate.episodes=5",
    "track=off",
]


def config(kind, path, total):
    words = [f"agent={kind}", *SMALL, *WORDS[kind], f"run.dir={path}", f"total_steps={total}"]
    return memrl.compose(words)


def rows(run):
    with (run / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    return [{name: x for name, x in row.items() if not is_time(name)} for row in table]


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(WORDS))
def test_a_resumed_run_is_the_run_that_never_stopped(kind, tmp_path):
    whole = memrl.train(config(kind, tmp_path / "whole", 576), style="quiet")
    path = tmp_path / "broken"
    memrl.train(config(kind, path, 288), style="quiet")
    directory = RunDirectory.open(path)
    memrl.train(read_config(directory, total_steps=576), directory, style="quiet")
    assert rows(path) == rows(whole.path)
    assert len(rows(path)) == 6

    loaded = memrl.load(path)
    env = make_env(config(kind, path, 576), num=7, seed=3)
    step = env.reset(3)
    for agent in (loaded, whole.agent):
        agent.begin(seed=5)
    for _ in range(11):
        action = loaded.act(step)
        assert torch.equal(action, whole.agent.act(step))
        step = env.step(action)


def test_a_checkpoint_of_another_agent_is_refused_by_name(tmp_path):
    nec = memrl.compose(["agent=nec", "env=probe", "env.num=2"])
    other = memrl.compose(["env=probe", "env.num=4"])
    agent, ppo = (make_agent(c, make_env(c)) for c in (nec, other))
    with pytest.raises(ValueError, match=r"not one of agent=nec: it lacks .*pending.*nec"):
        agent.load_state_dict(ppo.state_dict())


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["nec", "mfec"])
def test_an_episodic_agent_balances_a_pole_after_five_thousand_steps(kind, tmp_path):
    words = [f"agent={kind}", "env=CartPole-v1", "env.num=4", "agent.steps=125", "agent.every=4"]
    made = memrl.compose([*words, "total_steps=5000", "evaluate.episodes=20", "threads=1",
                          f"run.dir={tmp_path / 'run'}"])  # fmt: skip
    run = memrl.train(made, style="quiet")
    assert run.summary["evaluation"]["return"]["mean"] > 60  # random play: 22
