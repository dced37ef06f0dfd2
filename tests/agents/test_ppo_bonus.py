"""A bonus of PPO draws its networks from its own seed and leaves the process's generators alone."""

from __future__ import annotations

import pytest
import torch
from small_agents import learn, make_agent

from memrl.agents.ppo.bonus import make_bonus
from memrl.agents.ppo.config import BonusConfig
from memrl.envs.make import make


@pytest.mark.parametrize("kind", ["novelty_difference", "elliptical", "count"])
def test_a_bonus_leaves_the_global_generators_as_they_were(monkeypatch, kind):
    seeded = []
    monkeypatch.setattr("torch.cuda.manual_seed_all", seeded.append)  # of every GPU
    env, before = make("MiniGrid-MemoryS7-v0", 3), torch.get_rng_state()
    make_bonus(env, BonusConfig(kind=kind), seed=5)
    assert torch.get_rng_state().equal(before)
    assert not seeded


def test_networks_of_a_bonus_are_those_of_its_seed():
    env = make("MiniGrid-MemoryS7-v0", 3)
    config = BonusConfig(kind="elliptical")
    one, same, other = (make_bonus(env, config, seed).guess for seed in (5, 5, 6))
    assert all(a.equal(b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["novelty_difference", "elliptical", "count", "first_visit"])
def test_a_bonus_for_other_environments_pays_what_that_of_training_would(kind):
    agent = make_agent("gru", bonus={"kind": kind})  # five environments
    learn(agent, 1)
    trained = agent.collector.bonus
    fresh = agent.bonus_for(make("probe/Recall-v0", 3, delay=2, prev_action=True, prev_reward=True))
    first, later = torch.tensor([0, 1, 0, 2, 3]), torch.tensor([4, 1, 4, 2, 4])
    opens = torch.zeros(5, dtype=torch.bool)
    trained.begin({"obs": first})
    fresh.begin({"obs": first[:3]})
    want = trained.reward({"obs": later}, opens)[:3]
    torch.testing.assert_close(fresh.reward({"obs": later[:3]}, opens[:3]), want)


def test_an_agent_without_a_bonus_has_none_for_other_environments():
    assert make_agent("gru").bonus_for(make("probe/Recall-v0", 3)) is None
