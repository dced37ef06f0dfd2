"""Runs that differ in more than their seed are never averaged."""

from __future__ import annotations

from memrl.evaluation.run_labels import labels_of


def config(memory="dnc", env="Maze", seed=1, slots=16, lr=0.1, folder="a"):
    return {
        "seed": seed,
        "memory": {"name": memory, "slots": slots},
        "env": {"id": env},
        "agent": {"lr": lr},
        "run": {"dir": folder},
    }


def test_seeds_and_folders_make_no_variant():
    assert labels_of([config(), config(seed=2, folder="b")]) == ["dnc", "dnc"]


def test_an_option_of_the_memory_makes_a_variant():
    runs = [config(slots=16), config(slots=64, seed=2), config(memory="ntm", slots=5)]
    assert labels_of(runs) == ["dnc slots=16", "dnc slots=64", "ntm"]


def test_any_other_key_makes_a_variant_too():
    assert labels_of([config(lr=0.1), config(lr=0.3)]) == ["dnc agent.lr=0.1", "dnc agent.lr=0.3"]


def test_another_task_is_no_variant():
    assert labels_of([config(env="Maze"), config(env="Room", lr=0.3)]) == ["dnc", "dnc"]
