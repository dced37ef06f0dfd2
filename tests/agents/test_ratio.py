"""The ratio of the first minibatch is one: acting and learning see one policy and one state.

One number that catches resets forgotten in training, states stored at the wrong step, starts that
are shifted by one, and cores whose sequence is not their step.
"""

from __future__ import annotations

import pytest
import torch
from small_agents import learn, make_agent
from suites import MEMORIES

from memrl.envs.make import make


@pytest.mark.parametrize("memory", MEMORIES)
def test_first_ratio_is_one(memory):
    rows = learn(make_agent(memory, dtype=torch.float64), 3)
    assert max(row["train/ratio_error"] for row in rows) < 1e-9


@pytest.mark.parametrize("memory", MEMORIES)
def test_first_ratio_is_one_in_single_precision(memory):
    rows = learn(make_agent(memory), 3)
    assert max(row["train/ratio_error"] for row in rows) < 1e-4


@pytest.mark.parametrize(
    "policy", [{"layers": 2}, {"skip": True}], ids=["stacked", "with a skip connection"]
)
def test_first_ratio_is_one_however_the_policy_is_built(policy):
    rows = learn(make_agent("ntm", dtype=torch.float64, policy=policy), 2)
    assert max(row["train/ratio_error"] for row in rows) < 1e-9


@pytest.mark.parametrize("id", ["probe/OneStep-v0", "probe/Masked-v0", "CartPole-v1"])
def test_first_ratio_is_one_on(id):
    env = make(id, 5, seed=1, prev_action=True)
    rows = learn(make_agent("gru", env, dtype=torch.float64), 2)
    assert max(row["train/ratio_error"] for row in rows) < 1e-9


@pytest.mark.parametrize("config", [{"burn_in": 0}, {"burn_in": 3, "steps": 23, "bptt": 7}])
def test_first_ratio_is_one_with_overlapping_chunks(config):
    rows = learn(make_agent("dnc", dtype=torch.float64, **config), 2)
    assert max(row["train/ratio_error"] for row in rows) < 1e-9


def test_a_core_that_forgets_to_reset_is_caught(monkeypatch):
    agent = make_agent("ntm", dtype=torch.float64)
    core = agent.policy.core
    faithful = core.forward
    monkeypatch.setattr(
        core, "forward", lambda x, state, start: faithful(x, state, torch.zeros_like(start))
    )
    assert learn(agent, 2)[-1]["train/ratio_error"] > 1e-6
