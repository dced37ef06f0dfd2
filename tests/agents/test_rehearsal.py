"""Sequences of earlier tasks are cloned while a new one is learned."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from small_agents import learn, make_agent

from memrl.agents.ppo.config import RehearsalConfig
from memrl.agents.ppo.teachers import teach
from memrl.memory import state as states
from memrl.nn.normalise import RunningNorm

REHEARSES = RehearsalConfig(runs=("somewhere",), chunks=4)


def sequences(memory="gru", seed=11, dtype=torch.float32):
    """A rollout of another agent, with what it would do."""
    agent = make_agent(memory, seed=seed, dtype=dtype)
    agent.policy.actor.layer.weight.data.mul_(100)  # a new policy is close to uniform
    agent.collect()
    rollout = agent.rollout
    with torch.no_grad():
        out = agent.policy(rollout.obs, agent.policy.initial_state(5), rollout.start)
    teach(rollout, 0, out)
    return rollout


def rehearsing(*rollouts, dtype=torch.float32, **options):
    agent = make_agent("gru", dtype=dtype, rehearsal=REHEARSES, **options)
    agent.rehearse(rollouts)
    return agent


@pytest.mark.parametrize("memory", ["gru", "dnc"])
def test_states_of_old_sequences_are_those_of_the_present_network(memory):
    rollout = sequences(memory, dtype=torch.float64)
    agent = rehearsing(rollout, dtype=torch.float64)
    agent.learner.rehearsal.refresh(agent.learner.refresh_states)
    state = agent.policy.initial_state(5)
    for t in range(21):
        if t in rollout.chunk_starts[1:]:
            position = rollout.chunk_starts.index(t)
            kept = [leaf[position] for leaf in states.leaves(rollout.states)]
            torch.testing.assert_close(kept, states.leaves(state))
        obs = {key: value[t] for key, value in rollout.obs.items()}
        with torch.no_grad():
            state = agent.policy.step(obs, state, rollout.start[t]).state


def test_old_values_are_on_the_scale_of_the_present_critic():
    rollout = sequences()
    raw = rollout.taught["0.value"].clone()
    agent = rehearsing(rollout, normalise_returns=True)
    norm = RunningNorm(1, clip=None)
    norm.update(torch.tensor([[2.0], [6.0]]), torch.tensor([True, True]))
    agent.return_norm.load_state_dict(norm.state_dict())
    for _ in range(2):  # the scale is that of now, not of now and before
        agent.learner.rehearsal.refresh(agent.learner.refresh_states)
        torch.testing.assert_close(rollout.taught["0.value"], (raw - 4) / 2)


def test_an_agent_comes_closer_to_what_was_done():
    agent = rehearsing(sequences(seed=11), sequences(seed=11), lr=3e-3)
    rows = learn(agent, 16)
    assert rows[-1]["train/rehearsal_kl"] < 0.5 * rows[0]["train/rehearsal_kl"]


def test_every_earlier_task_is_rehearsed():
    old = [sequences(seed=11), sequences(seed=12)]
    agent, drawn = rehearsing(*old), set()
    for i, rollout in enumerate(old):
        rollout.taught["0.value"].fill_(1000.0 * i)
    for _ in range(20):
        drawn.add(agent.learner.rehearsal.loss().value.item() > 1000)
    assert drawn == {False, True}


def test_a_run_that_rehearses_goes_on_bit_for_bit():
    first, second = (rehearsing(sequences()) for _ in "ab")
    learn(first, 2)
    second.load_state_dict(deepcopy(first.state_dict()))
    rows = [learn(agent, 2) for agent in (first, second)]
    torch.testing.assert_close(*rows, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_an_agent_that_rehearses_is_not_captured():
    with pytest.raises(ValueError, match=r"agent\.rehearsal\.runs draws from others"):
        rehearsing(sequences()).capture()


def test_without_runs_nothing_else_is_read():
    with pytest.raises(ValueError, match=r"chunks=3 is not read by agent.rehearsal.runs=\[\]"):
        RehearsalConfig(chunks=3)
    assert RehearsalConfig().unread() == {"weight", "value_weight", "steps", "chunks"}
