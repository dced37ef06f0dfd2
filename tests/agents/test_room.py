"""Replays that are larger than the memory of the machine are refused with a sentence."""

from __future__ import annotations

import pytest
from small_agents import make_agent
from small_episodic import learn
from small_episodic import make_agent as make_episodic

from memrl.agents.ppo.config import SelfImitationConfig


def test_a_replay_of_nec_that_is_larger_than_the_memory_is_refused_before_it_is_allocated():
    agent = make_episodic("nec", replay=10**15)
    with pytest.raises(
        ValueError, match=r"the replay needs .* GB; allowed: .* GB, the free memory"
    ):
        learn(agent, 1)


def test_best_episodes_that_are_larger_than_the_memory_are_refused():
    best = SelfImitationConfig(kind="episodes", capacity=10**10, longest=10**5)
    with pytest.raises(
        ValueError, match=r"the replay needs .* GB; allowed: .* GB, the free memory"
    ):
        make_agent(self_imitation=best)
