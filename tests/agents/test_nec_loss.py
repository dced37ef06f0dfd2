"""NEC's loss."""

from __future__ import annotations

import pytest
from small_episodic import learn, make_agent


def test_the_loss_is_the_mean_square_of_what_is_missed():
    agent = make_agent("nec")
    learn(agent, 3)
    agent.method.replay.arrays["returns"].fill_(1000.0)
    got = agent.method.improve(agent.env_steps)
    want = (1000.0 - float(got["train/q"])) ** 2
    assert float(got["train/loss"]) == pytest.approx(want, rel=1e-3)
