"""Agents whose memory gets more slots while they learn."""

from __future__ import annotations

from copy import deepcopy

import pytest
from small_agents import learn, make_agent
from small_r2d2 import make_r2d2
from test_resume import assert_equal_trees, task, words

from memrl.agents import Parts, registry
from memrl.agents.ppo.config import PPOConfig
from memrl.checkpoint.common import with_common
from memrl.memory.state import leaves
from memrl.policies.backbone import PolicyConfig

GROWS = {"grow": 20, "grow_above": 0.01, "slots": 5}


def growing(seed=3, memory="memnn"):
    return make_agent(memory, task(), seed=seed, memory_options=GROWS)


def test_slots_double_until_the_limit_and_learning_goes_on():
    agent = growing()
    slots = [row["memory/slots"] for row in learn(agent, 12)]
    assert slots == [5] * 5 + [10] * 5 + [20] * 2


@pytest.mark.parametrize("saved_at", [4, 5, 7])
@pytest.mark.parametrize("memory", ["ntm", pytest.param("dnc", marks=pytest.mark.slow)])
def test_a_run_that_grew_goes_on_bit_for_bit(saved_at, memory):
    first, second = growing(memory=memory), growing(seed=99, memory=memory)
    learn(first, saved_at)
    second.load_state_dict(deepcopy(first.state_dict()))
    assert words(learn(first, 4)) == words(learn(second, 4))
    assert_equal_trees(first.state_dict(), second.state_dict())


def test_memories_that_begin_anew_have_the_slots_of_the_run():
    """Of what was saved by another number of ranks, each rank takes what all have in common."""
    first, second = growing(), growing(seed=99)
    learn(first, 7)
    second.load_state_dict(with_common(second.state_dict(), first.state_dict(), second.common))
    both = ([leaf.shape for leaf in leaves(agent.collector.state)] for agent in (first, second))
    assert next(both) == next(both)


def test_acting_goes_on_across_a_growth():
    agent, env = growing(), task()
    step = env.reset(0)
    agent.begin()
    step = env.step(agent.act(step))
    learn(agent, 6)
    agent.act(step)
    assert agent.memory()["usage"].shape[-1] == 10


def test_graphs_are_not_recorded_of_a_memory_that_grows():
    with pytest.raises(ValueError, match=r"memory.grow=20 changes it \(allowed: null\)"):
        growing().capture()


@pytest.mark.parametrize("policy", [{"layers": 2}, {"critic": "own"}])
def test_one_memory_can_grow(policy):
    parts = Parts(task(), {"name": "dnc", **GROWS}, PolicyConfig(**policy), 1)
    with pytest.raises(ValueError, match="one memory can grow"):
        registry.build(parts, PPOConfig())


def test_other_agents_say_who_can():
    config = make_r2d2("dnc").config
    parts = Parts(task(), {"name": "dnc", **GROWS}, PolicyConfig(), 1)
    with pytest.raises(ValueError, match=r"memory\.grow=20 is not read by agent=r2d2"):
        registry.build(parts, config)
