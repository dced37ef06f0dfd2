"""NEC's loss."""

from __future__ import annotations

import itertools

import pytest
import torch
from small_episodic import learn, make_agent


def test_the_loss_is_the_mean_square_of_what_is_missed():
    agent = make_agent("nec")
    learn(agent, 3)
    agent.method.replay.arrays["returns"].fill_(1000.0)
    got = agent.method.improve(agent.env_steps)
    want = (1000.0 - float(got["train/q"])) ** 2
    assert float(got["train/loss"]) == pytest.approx(want, rel=1e-3)


def test_a_value_is_the_kernel_average_of_the_nearest_entries():
    agent = make_agent("nec", neighbours=3)
    learn(agent, 2)
    method = agent.method
    entries, obs = method.dictionaries.entries, agent.env.reset(seed=5)
    with torch.no_grad():
        h = method.policy(obs).double()
        got = method.action_values(obs, mark=False).q
    for row, action in itertools.product(range(len(h)), range(len(entries.count))):
        count = int(entries.count[action])
        keys, values = entries.keys[action, :count].double(), entries.values[action, :count]
        squared = (keys - h[row]).square().sum(-1)
        nearest = squared.argsort()[:3]
        kernels = 1 / (squared[nearest] + agent.config.delta)
        want = (kernels * values[nearest]).sum() / kernels.sum()
        assert float(got[row, action]) == pytest.approx(float(want), rel=1e-4, abs=1e-6)
