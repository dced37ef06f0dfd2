"""The group, the tags and the headline numbers of a run at W&B."""

from __future__ import annotations

import pytest

import memrl
from memrl.pipeline.labels import group_of, headline, tags_of
from memrl.supervised.config import compose_fit

SMALL = ["env=probe/Recall-v0", "memory=gru"]


def group(*words):
    return group_of(memrl.compose([*SMALL, *words]))


@pytest.mark.parametrize("word", ["seed=7", "run.dir=x", "track=off", "threads=3"])
def test_runs_that_learn_the_same_from_other_seeds_share_a_group(word):
    assert group(word) == group()


@pytest.mark.parametrize(
    "word", ["agent.lr=0.7", "memory.hidden_dim=7", "total_steps=7", "env.num=7"]
)
def test_runs_that_differ_by_more_than_the_seed_are_in_other_groups(word):
    assert group(word) != group()


def test_a_group_is_named_after_task_and_memory():
    assert group().startswith("probe-Recall-v0-gru-")


def test_a_group_has_a_length_that_wandb_takes():
    config = memrl.compose(SMALL)
    long = config.model_copy(update={"env": config.env.model_copy(update={"id": "e" * 300})})
    assert len(group_of(long)) <= 128


def test_tags_are_the_memory_the_environment_and_the_agent():
    assert tags_of(memrl.compose(SMALL)) == ["gru", "probe/Recall-v0", "ppo"]
    assert tags_of(compose_fit(["memory=lstm", "task=copy"])) == ["lstm", "copy", "fit"]


def test_an_agent_without_a_choice_of_memories_is_tagged_once():
    mfec = memrl.compose(["env=probe/Recall-v0", "agent=mfec"])
    assert tags_of(mfec) == ["mfec", "probe/Recall-v0"]


def test_tags_have_a_length_that_wandb_takes():
    config = memrl.compose(SMALL)
    long = config.model_copy(update={"env": config.env.model_copy(update={"id": "e" * 300})})
    assert max(map(len, tags_of(long))) == 64


def test_the_headline_of_a_run_is_its_final_evaluation():
    success = {"mean": 0.7, "low": 0.5, "high": 0.9, "samples": 11}
    result = {"success": 0.7, "return": 3.0, "length": None, "parameters": 13, "seed": 1,
              "evaluation": {"success": success, "episodes": 11}}  # fmt: skip
    assert headline(result) == {
        "evaluation/success": 0.7, "evaluation/success_low": 0.5, "evaluation/success_high": 0.9,
        "evaluation/return": 3.0, "parameters": 13,
    }  # fmt: skip


def test_the_headline_of_a_fit_is_its_accuracy():
    assert headline({"accuracy": 0.7, "evaluation": [{"length": 5}]}) == {
        "evaluation/accuracy": 0.7
    }
