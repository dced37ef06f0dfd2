"""Fits evaluated with other slots, and fits whose memory gets more of them."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from small_fits import QUICK
from test_fitting import memrl, sentence  # noqa: F401  a fixture

from memrl.supervised.config import compose_fit
from memrl.supervised.fitting import make_learner

DNC = [*QUICK, "memory=dnc", "memory.hidden_dim=7", "memory.slots=4", "memory.word_dim=3"]
GROWS = [*DNC, "memory.grow=16", "memory.grow_above=0.01"]


def learner_of(words):
    torch.manual_seed(0)
    return make_learner(compose_fit([word for word in words if not word.startswith("run.")]))


def learn(learner, iterations):
    rows = []
    size = learner.config.batch * learner.config.batches
    learner.learn(learner.experience + iterations * size, lambda row: rows.append(dict(row)))
    return rows


def test_a_fit_is_evaluated_again_with_other_lengths_and_slots(memrl):  # noqa: F811
    assert memrl("fit", *DNC, "sequences=6", "run.dir=here")[0] == 0

    def scores(*words):
        code, out, err = memrl("evaluate", "here", "--json", *words)
        assert code == 0, err
        return json.loads(out)["evaluation"]

    summary = json.loads(Path("here/summary.json").read_text())["evaluation"]
    assert scores() == summary
    assert scores("memory.slots=4") == summary
    wide = scores("memory.slots=16", "lengths=[3,7]", "sequences=11")
    assert [(row["length"], row["sequences"]) for row in wide] == [(3, 11), (7, 11)]
    assert scores("memory.slots=16") != summary
    code, out, _ = memrl("evaluate", "here", "memory.slots=2")
    assert code == 0
    assert out.startswith("length  sequences")


WRONG = {
    "memory.slot=5": "unknown key memory.slot; did you mean slots?",
    "memory.slots=0": "memory.slots=0",
    "episodes=5": "unknown key episodes",
    "lengths=[0]": "lengths",
}


def test_a_wrong_word_of_evaluate(memrl):  # noqa: F811
    assert memrl("fit", *DNC, "sequences=6", "run.dir=here")[0] == 0
    for word, expected in WRONG.items():
        assert expected in sentence(memrl("evaluate", "here", word))


def test_a_memory_without_slots_says_who_has_them(memrl):  # noqa: F811
    assert memrl("fit", *QUICK, "sequences=6", "run.dir=here")[0] == 0
    refused = sentence(memrl("evaluate", "here", "memory.slots=5"))
    assert "the number of slots of a GRU does not change after training (allowed: that of dnc" in (
        refused
    )


def test_slots_double_while_a_fit_learns_and_are_logged():
    rows = learn(learner_of(GROWS), 12)
    assert [row["memory/slots"] for row in rows] == [4] * 5 + [8] * 5 + [16] * 2
    assert all(0 < row["memory/used"] <= 1 for row in rows)


def test_a_fit_that_does_not_grow_logs_nothing_of_it():
    assert not [name for name in learn(learner_of(DNC), 1)[0] if name.startswith("memory/")]


@pytest.mark.parametrize("memory", ["dnc", "ntm"])
@pytest.mark.parametrize("saved_at", [4, 5, 7])
def test_a_fit_that_grew_goes_on_bit_for_bit(saved_at, memory):
    words = [word.replace("memory=dnc", f"memory={memory}") for word in GROWS]
    first, second = learner_of(words), learner_of(words)
    learn(first, saved_at)
    second.load_state_dict(deepcopy(first.state_dict()))
    assert learn(first, 7) == learn(second, 7)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_what_is_measured_is_the_fullest_step_of_the_longest_batch():
    learner = learner_of([*QUICK, "memory=kvmemnn", "memory.hidden_dim=7", "memory.slots=20",
                          "memory.grow=40"])  # fmt: skip
    batch = learner.task.sample(3, 5, torch.Generator().manual_seed(0))
    assert learner.model.fullness(batch.x, batch.start) == pytest.approx(len(batch.x) / 20)
