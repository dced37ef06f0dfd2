"""Runs of an agent that are opened with another number of slots."""

from __future__ import annotations

import json

import pytest
import torch

import memrl
from memrl.cli.main import main

WORDS = ["env=probe/Recall-v0", "env.num=2", "agent.steps=8", "agent.bptt=4",
         "agent.minibatches=1", "total_steps=64", "evaluate.episodes=3", "threads=1", "track=off",
         "run.pictures=false"]  # fmt: skip


def trained(tmp_path, *words):
    words = [*WORDS, f"run.dir={tmp_path / 'run'}", *words]
    return memrl.train(memrl.compose(words), style="quiet", say=str)


@pytest.mark.parametrize("slots", [3, 20])
def test_an_agent_acts_with_other_slots(tmp_path, slots):
    run = trained(tmp_path, "memory=memnn", "memory.slots=7")
    agent, env = memrl.load(run.path, slots=slots), run.env(2)
    agent.act(env.reset(0))
    assert agent.memory_state().slots.memory.shape[1] == slots
    weights = [torch.equal(*both) for both in zip(
        agent.policy.parameters(), run.agent.policy.parameters(), strict=True)]  # fmt: skip
    assert all(weights)


def test_a_run_that_grew_is_opened_as_it_ended(tmp_path):
    grows = ("memory.slots=2", "memory.grow=8", "memory.grow_above=0.1")
    run = trained(tmp_path, "memory=memnn", "total_steps=160", *grows)
    assert memrl.load(run.path).policy.core.slots == run.agent.policy.core.slots == 8


@pytest.fixture
def evaluated(monkeypatch, capfd):
    def evaluate(*words):
        monkeypatch.setattr("sys.argv", ["memrl", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit):
            main()
        return capfd.readouterr()

    return evaluate


def test_evaluate_takes_slots(tmp_path, evaluated):
    run = trained(tmp_path, "memory=memnn", "memory.slots=7")
    assert json.loads(evaluated(run.path, "memory.slots=20", "--json").out)["episodes"] == 3
    refused = evaluated(run.path, "memory.slot=20").err
    assert "unknown key memory.slot; did you mean slots?" in refused


def test_a_memory_without_slots_that_change_is_refused(tmp_path):
    run = trained(tmp_path, "memory=gru")
    with pytest.raises(ValueError, match="the number of slots of a GRU does not change after"):
        memrl.load(run.path, slots=5)
