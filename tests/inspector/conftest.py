"""Pages of small agents, which have learned nothing."""

from __future__ import annotations

import pytest
from small_agents import make_agent

from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.inspector.record import record_episodes


@pytest.fixture(scope="session")
def recorded():
    """Three episodes of a small dnc on Recall."""
    agent = make_agent("dnc")
    env = make("probe/Recall-v0", 3, delay=2, prev_action=True, prev_reward=True)
    return record_episodes(agent, env, Acting(5), gamma=0.5)
