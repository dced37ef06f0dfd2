"""A bonus of PPO draws its networks from its own seed and leaves the process's generators alone."""

from __future__ import annotations

import pytest
import torch

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
