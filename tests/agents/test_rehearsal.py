"""Sequences of earlier tasks are cloned while a new one is learned."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from small_agents import learn, make_agent, sequences

from memrl.agents.ppo.config import RehearsalConfig
from memrl.memory import state as states
from memrl.nn.normalise import RunningNorm

REHEARSES = RehearsalConfig(runs=("somewhere",), chunks=4)
LEARNS = REHEARSES.model_copy(update={"vtrace": 1.0})


def rehearsing(*rollouts, dtype=torch.float32, rehearsal=REHEARSES, **options):
    agent = make_agent("gru", dtype=dtype, rehearsal=rehearsal, **options)
    agent.rehearse(rollouts)
    return agent


def drawn_loss(agent):
    agent.learner.rehearsal.draw(1)
    return agent.learner.rehearsal.loss()


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
        drawn.add(drawn_loss(agent).cloning.value.item() > 1000)
    assert drawn == {False, True}


def test_a_run_that_rehearses_goes_on_bit_for_bit():
    first, second = (rehearsing(sequences()) for _ in "ab")
    learn(first, 2)
    second.load_state_dict(deepcopy(first.state_dict()))
    rows = [learn(agent, 2) for agent in (first, second)]
    torch.testing.assert_close(*rows, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_old_rewards_are_learned_from_by_the_present_values_and_the_actions_of_then():
    """The steps of each episode in its chunk, in a loop; the step before a cut has no target."""
    rollout = sequences(dtype=torch.float64)
    agent = rehearsing(
        rollout, dtype=torch.float64, rehearsal=LEARNS, gamma=0.9, normalise_advantages=False
    )
    agent.learner.rehearsal.refresh(agent.learner.refresh_states)
    agent.learner.rehearsal.generator.manual_seed(1)
    found = drawn_loss(agent).vtrace
    generator = torch.Generator().manual_seed(1)
    torch.randint(1, (), generator=generator)
    index = torch.randint(rollout.num_chunks(), (4,), generator=generator)
    chunk, gains, errors = rollout.chunks(index), [], []
    with torch.no_grad():
        out = agent.policy(chunk.obs, chunk.state, chunk.start)
        log_prob = out.actions.log_prob(chunk.action)
    for m in range(4):
        better = 0.0  # v − V of the next step
        for t in range(6, -1, -1):
            over = bool(chunk.taught["terminated"][t, m])
            if not over and (t == 6 or chunk.start[t + 1, m]):
                better = 0.0
                continue
            value, after = out.value[t, m], 0.0 if over else out.value[t + 1, m]
            ratio = (log_prob[t, m] - chunk.log_prob[t, m]).exp().clamp(max=1.0)
            later = 0.0 if over else better
            aim = chunk.taught["reward"][t, m] + 0.9 * after - value
            gains.append(log_prob[t, m] * ratio * (aim + 0.9 * later))
            better = ratio * aim + 0.9 * ratio * later
            errors.append(0.5 * better**2)
    torch.testing.assert_close(found.policy.detach(), -torch.stack(gains).mean())
    torch.testing.assert_close(found.value.detach(), torch.stack(errors).mean())


def test_old_rewards_are_learned_from_only_if_they_are_weighted():
    rows = [learn(rehearsing(sequences(), rehearsal=how), 1) for how in (REHEARSES, LEARNS)]
    assert "train/vtrace_policy" not in rows[0][-1]
    assert rows[1][-1]["train/vtrace_value"] > 0


def test_values_of_old_rewards_are_on_the_scale_of_the_present_critic():
    """Standardising returns moves the target as it moves the values that predict them."""
    plain, scaled = (
        rehearsing(sequences(), rehearsal=LEARNS, normalise_returns=normal)
        for normal in (False, True)
    )
    norm = RunningNorm(1, clip=None)
    norm.update(torch.tensor([[-2.0], [2.0]]), torch.tensor([True, True]))  # mean 0, a scale of 2
    scaled.return_norm.load_state_dict(norm.state_dict())
    for part in (scaled.policy.critic.weight, scaled.policy.critic.bias):
        part.data.div_(2)
    found = []
    for agent in (plain, scaled):
        agent.learner.rehearsal.refresh(agent.learner.refresh_states)
        found.append(drawn_loss(agent).vtrace)
    torch.testing.assert_close(found[0].value, 4 * found[1].value)
    torch.testing.assert_close(found[0].policy, found[1].policy)


def test_an_agent_that_rehearses_is_not_captured():
    with pytest.raises(ValueError, match=r"agent\.rehearsal\.runs draws from others"):
        rehearsing(sequences()).capture()


def test_without_runs_nothing_else_is_read():
    with pytest.raises(ValueError, match=r"chunks=3 is not read by agent.rehearsal.runs=\[\]"):
        RehearsalConfig(chunks=3)
    assert RehearsalConfig().unread() == {
        "weight", "value_weight", "steps", "chunks", "vtrace"
    }  # fmt: skip
