"""A minute tells whether an agent has a memory: a GRU solves each probe, an agent without none."""

from __future__ import annotations

import pytest

import memrl
from memrl.envs.make import card

STRICT = ["Recall", "TMaze", "EndlessTMaze", "DelayedMatch", "NBack", "Counting"]


def score(id: str, memory: str, run) -> float:
    """Success, or the return where there is none, over 1,000 episodes after training."""
    words = [f"env={id}", f"memory={memory}", "total_steps=250_000", "threads=1", "track=off"]
    config = memrl.compose(words)
    summary = memrl.train(config, run, style="quiet", say=lambda sentence: None).summary
    return summary["return"] if card(id).levels.score == "return" else summary["success"]


@pytest.mark.nightly
@pytest.mark.parametrize("name", STRICT)
def test_a_gru_solves_it(name, tmp_path):
    id = f"probe/{name}-v0"
    assert score(id, "gru", tmp_path / "run") >= 0.97 * card(id).levels.optimum


@pytest.mark.nightly
@pytest.mark.parametrize("name", STRICT)
def test_without_a_memory_it_stays_unsolved(name, tmp_path):
    id = f"probe/{name}-v0"
    level = card(id).levels.memoryless
    assert score(id, "none", tmp_path / "run") <= level + 0.06  # four standard errors


@pytest.mark.nightly
def test_a_memory_of_earlier_episodes_finds_key_and_door_faster(tmp_path):
    words = ["env=probe/DarkKeyToDoor-v0", "env.size=3", "env.length=7", "env.trial=8"]
    words += ["agent.steps=56", "agent.bptt=56", "agent.minibatches=2", "agent.lr=2e-3"]
    words += ["agent.normalise_returns=true", "total_steps=700_000", "threads=1", "track=off"]
    config = memrl.compose([*words, "run.pictures=false"])
    summary = memrl.train(config, tmp_path / "run", style="quiet", say=lambda _: None).summary
    first, last = (summary["evaluation"][f"{name}_return"]["mean"] for name in ("first", "last"))
    assert last > first + 0.3


@pytest.mark.nightly
def test_an_episodic_lstm_pulls_the_right_arm_at_first_sight_of_a_known_barcode(tmp_path):
    words = ["env=probe/BarcodeBandit-v0", "env.trial=6", "env.arms=2", "env.barcodes=3"]
    words += ["env.pulls=2", "env.bits=4", "agent.steps=12", "agent.bptt=12", "agent.minibatches=2"]
    words += ["agent.lr=5e-3", "agent.lr_end=5e-3", "agent.gamma=0.3", "agent.lam=0.9"]
    words += ["memory=eplstm", "memory.context=4", "memory.restart=true", "memory.slots=4"]
    words += ["memory.hidden_dim=32", "policy.beside=[obs]", "total_steps=60_000", "threads=1"]
    config = memrl.compose([*words, "track=off", "run.pictures=false"])
    summary = memrl.train(config, tmp_path / "run", style="quiet", say=lambda _: None).summary
    assert summary["success"] >= 0.9  # by chance one half


@pytest.mark.parametrize("name", STRICT)
def test_a_task_that_is_called_strict_is_one(name):
    known = card(f"probe/{name}-v0")
    assert known.memory == "strict"
    assert known.levels.memoryless <= 0.5 < known.levels.optimum
