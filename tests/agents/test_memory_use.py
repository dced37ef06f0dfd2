"""Whether a policy uses its memory: the divergence from the same policy with its state wiped."""

from __future__ import annotations

import math

import pytest
import torch
from small_agents import learn, make_agent

from memrl.agents.ppo.memory_use import memory_used
from memrl.envs.make import make


def a_chunk(agent):
    agent.collector.collect(agent.rollout)
    return agent.rollout.chunks(torch.arange(agent.rollout.num_chunks()))


@pytest.mark.parametrize("memory", ["gru", "dnc"])
def test_it_is_the_mean_divergence_from_a_policy_that_begins_at_every_step(memory):
    agent = make_agent(memory, dtype=torch.float64)
    torch.nn.init.orthogonal_(agent.policy.actor.layer.weight)
    chunk, policy = a_chunk(agent), agent.policy
    chunk.valid[2] = False
    total, count = 0.0, 0
    state, always = chunk.state, torch.ones_like(chunk.start[0])
    with torch.no_grad():
        for t in range(len(chunk.start)):
            obs = {key: value[t] for key, value in chunk.obs.items()}
            real = policy.step(obs, state, chunk.start[t])
            state = real.state
            wiped = policy.step(obs, state, always)
            p, q = (out.actions.parameters()["logits"] for out in (real, wiped))
            for b in range(len(always)):
                if chunk.valid[t, b]:
                    pairs = zip(p[b].tolist(), q[b].tolist(), strict=True)
                    total += sum(math.exp(x) * (x - y) for x, y in pairs)
                    count += 1
    assert total > 0
    assert float(memory_used(policy, chunk)) == pytest.approx(total / count, rel=1e-9)


@pytest.mark.parametrize("id", ["probe/Recall-v0", "probe/Masked-v0", "Pendulum-v1"])
def test_a_policy_without_a_memory_uses_none(id):
    agent = make_agent("none", make(id, 3))
    assert float(memory_used(agent.policy, a_chunk(agent))) == 0


def test_masked_actions_do_not_make_it_infinite():
    agent = make_agent("gru", make("probe/Masked-v0", 3))
    assert 0 < float(memory_used(agent.policy, a_chunk(agent))) < 1


def test_it_is_logged_in_the_first_of_sixteen_iterations():
    rows = learn(make_agent("gru"), 17)
    finite = [i for i, row in enumerate(rows) if math.isfinite(row["memory/used_kl"])]
    assert finite == [0, 16]
