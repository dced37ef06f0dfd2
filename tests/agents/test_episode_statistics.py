"""The tally of the episodes that end while an agent plays."""

from __future__ import annotations

import math

import torch

from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.envs.make import make
from memrl.rollout.env import Transition


def transition(reward, terminated, success):
    flags = torch.tensor(terminated)
    metrics = {"success": torch.tensor(success)}
    return Transition({}, torch.tensor(reward), flags, torch.zeros_like(flags), {}, metrics)


def test_the_tally_speaks_of_the_episodes_that_ended():
    tally = EpisodeStatistics(make("probe/Recall-v0", 2))
    valid = torch.tensor([True, True])
    tally.add(transition([1.0, 2.0], [False, True], [math.nan, 1.0]), valid)
    tally.add(transition([3.0, 4.0], [False, False], [0.5, 0.5]), valid)
    taken = {name: float(value) for name, value in tally.read().items()}
    assert taken == {
        "episode/count": 1, "episode/return": 2, "episode/length": 1, "episode/success": 1,
        "rollout/reward": 2.5,
    }  # fmt: skip
    assert math.isnan(tally.read()["episode/return"])
    tally.add(transition([5.0, 6.0], [True, True], [0.0, 1.0]), valid)
    taken = {name: float(value) for name, value in tally.read().items()}
    assert taken == {
        "episode/count": 2, "episode/return": 9.5, "episode/length": 2.5, "episode/success": 0.5,
        "rollout/reward": 5.5,
    }  # fmt: skip


def test_rows_that_are_no_steps_are_not_counted():
    tally = EpisodeStatistics(make("probe/Recall-v0", 2))
    tally.add(transition([1.0, 1.0], [True, True], [1.0, 0.0]), torch.tensor([True, False]))
    assert int(tally.steps) == 1
    assert float(tally.read()["episode/count"]) == 1
    assert int(tally.steps) == 0
