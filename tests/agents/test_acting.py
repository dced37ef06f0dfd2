"""Acting keeps its own memory, and knows where episodes begin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from small_agents import make_agent
from small_episodic import make_agent as make_nec

from memrl.envs.make import make
from memrl.memory.state import leaves
from memrl.rollout.arrays import read_observation
from memrl.rollout.env import Transition


def trajectory(agent, *, give_start, rows=3, steps=8):
    env = make("probe/Recall-v0", rows, seed=4, delay=2, prev_action=True, prev_reward=True)
    agent.begin(seed=1)
    seen, actions = env.reset(7), []
    obs, start = seen, torch.ones(rows, dtype=torch.bool)
    for _ in range(steps):
        action = agent.act(obs, start) if give_start else agent.act(seen)
        seen = env.step(action)
        obs, start = seen.obs, seen.ended
        actions.append(action)
    return torch.stack(actions)


def test_a_step_says_where_episodes_begin():
    agent = make_agent("ntm")
    assert torch.equal(trajectory(agent, give_start=True), trajectory(agent, give_start=False))


def test_acting_does_not_touch_training():
    agent, alone = make_agent("gru"), make_agent("gru")
    trajectory(agent, give_start=True)
    for a in (agent, alone):
        a.collector.collect(a.rollout)
    assert torch.equal(agent.rollout.action, alone.rollout.action)


@pytest.mark.parametrize("make_one", [lambda: make_agent("none"), lambda: make_nec("nec")])
def test_a_session_takes_numpys_seeds_and_says_what_is_none(make_one):
    agent = make_one()
    agent.begin(seed=np.int64(3))
    for wrong in ("3", 3.0, -1):
        # The type says so too; under the type checker of the tests its error comes first.
        said = f"seed is {wrong!r}, allowed: |parameter 'seed'"
        with pytest.raises((ValueError, TypeCheckError), match=said):
            agent.begin(seed=wrong)


def test_greedy_acting_is_the_same_for_every_seed():
    agent = make_agent("gru")
    obs = agent.collector.obs
    picks = []
    for seed in range(3):
        agent.begin(seed=seed, greedy=True)
        picks.append(agent.act(obs))
    assert torch.equal(picks[0], picks[1])
    assert torch.equal(picks[0], picks[2])


def test_forgetting_the_state_makes_every_step_a_first_one():
    agent = make_agent("gru")
    obs = agent.collector.obs
    agent.begin(ablate="state")
    agent.act(obs)
    once = agent.memory()["hidden"]
    agent.act(obs, False)
    torch.testing.assert_close(agent.memory()["hidden"], once)


def test_an_ablation_that_the_memory_has_not_is_refused():
    with pytest.raises(ValueError, match="GRU cannot ablate 'reads'"):
        make_agent("gru").begin(ablate="reads")


def test_silenced_reads_change_what_is_done_and_training_is_not_silenced():
    agent = make_agent("dnc", dtype=torch.float64)
    agent.begin(ablate="reads")
    assert agent.policy.core.ablate == {"reads"}
    agent.learn(105, lambda row: None)
    assert not agent.policy.core.ablate


def test_rows_that_a_late_reset_leaves_invalid_open_an_episode():
    step = Transition(
        obs={"obs": torch.zeros(3, dtype=torch.int64)},
        reward=torch.zeros(3),
        terminated=torch.tensor([True, False, False]),
        truncated=torch.tensor([False, False, True]),
        final_obs={"obs": torch.zeros(3, dtype=torch.int64)},
        metrics={},
        valid=torch.tensor([True, False, True]),
    )
    assert step.start.tolist() == [True, True, True]
    assert step._replace(valid=None).start.tolist() == [True, False, True]


def test_a_step_and_starts_at_once_are_refused():
    agent = make_agent("gru")
    env = make("probe/Recall-v0", 3, seed=4, prev_action=True, prev_reward=True)
    agent.begin()
    step = env.step(agent.act(env.reset(7)))
    with pytest.raises(ValueError, match="a step contains its episode starts"):
        agent.act(step, True)


def test_tensors_on_another_device_are_moved_to_the_agents():
    obs, device = make_agent("gru").collector.obs, torch.device("meta")
    space = make("probe/Recall-v0", 1, delay=2, prev_action=True, prev_reward=True)
    read, _ = read_observation(space.observation_space, obs, device)
    assert {value.device for value in read.values()} == {device}


def test_a_state_that_is_put_back_is_acted_on_again():
    agent, env = make_agent("dnc"), make("probe/Recall-v0", 3, prev_action=True, prev_reward=True)
    agent.begin(seed=1)
    seen = env.reset(7)
    agent.act(seen)
    kept = agent.memory_state()
    seen = env.step(torch.zeros(3, dtype=torch.int64))
    agent.act(seen)
    want = agent.memory_state()
    agent.act(seen)  # it goes on, and is set back
    agent.replace_memory(kept)
    agent.act(seen)
    for got, expected in zip(leaves(agent.memory_state()), leaves(want), strict=True):
        assert torch.equal(got, expected)


def test_a_state_of_other_shapes_or_before_the_first_step_is_refused():
    agent, env = make_agent("gru"), make("probe/Recall-v0", 3, prev_action=True, prev_reward=True)
    agent.begin(seed=1)
    with pytest.raises(ValueError, match="as after act"):
        agent.replace_memory(agent.policy.initial_state(3))
    agent.act(env.reset(7))
    with pytest.raises(ValueError, match=r"\[\(5, 11\)\], allowed: \[\(3, 11\)\]"):
        agent.replace_memory(agent.policy.initial_state(5))
