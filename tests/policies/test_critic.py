"""What the critic reads: its own memory is one like the actor's, and neither disturbs the other."""

from __future__ import annotations

import pytest
import suites
import torch
from small_agents import learn, make_agent
from suites import slow_but

from memrl.agents.base import Parts
from memrl.agents.episodic.build import MFECAgent, NECAgent
from memrl.agents.planning.agent import PlanAgent
from memrl.agents.r2d2.agent import R2D2
from memrl.envs.make import make
from memrl.memory import build as build_memory
from memrl.memory.none import NoMemory
from memrl.memory.registry import names
from memrl.policies.backbone import PolicyConfig
from memrl.policies.critic import TwoMemories, TwoStates
from memrl.testing import check_core

KINDS = ["shared", "detached", "own", "none"]
PAIRS = [(memory, critic) for memory in names() for critic in KINDS]
FAST = [(m, c) for m, c in PAIRS if (m == "lstm" or c == "own") and m in suites.KINDS]


@pytest.mark.parametrize(("memory", "critic"), slow_but(FAST, PAIRS))
def test_the_first_ratio_is_one_whatever_the_critic_reads(memory, critic):
    agent = make_agent(memory, dtype=torch.float64, policy={"critic": critic, "skip": True})
    rows = learn(agent, 2)
    assert max(row["train/ratio_error"] for row in rows) < 1e-9


def gradients(critic, part, **policy):
    """Names of the parameters that a loss on one output of the policy reaches."""
    net = make_agent("gru", dtype=torch.float64, policy={"critic": critic, **policy}).policy
    obs = {"obs": torch.zeros(4, 2, dtype=torch.int64)}
    obs |= {"prev_action": torch.zeros(4, 2, dtype=torch.int64), "prev_reward": torch.ones(4, 2, 1)}
    start = torch.zeros(4, 2, dtype=torch.bool)
    out = net(obs, net.initial_state(2), start)
    loss = out.value.sum() if part == "value" else out.actions.entropy().sum()
    found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    names = [name for name, _ in net.named_parameters()]
    return {
        name for name, each in zip(names, found, strict=True) if each is not None and each.any()
    }


def test_a_shared_memory_is_trained_by_both_and_a_detached_one_by_the_actor():
    assert any(name.startswith("core.") for name in gradients("shared", "value"))
    assert not any(name.startswith("core.") for name in gradients("detached", "value"))
    assert any(name.startswith("core.") for name in gradients("detached", "actions"))


def test_own_memories_are_trained_by_one_loss_each():
    assert not any("core.critic" in name for name in gradients("own", "actions"))
    assert not any("core.actor" in name for name in gradients("own", "value"))
    assert any("core.critic" in name for name in gradients("own", "value", layers=2))


def test_a_critic_without_memory_reads_the_present_observation_only():
    agent = make_agent("gru", policy={"critic": "none"})
    assert isinstance(agent.policy.core.critic, NoMemory)
    x, start = torch.randn(2, agent.policy.core.in_dim), torch.zeros(2, dtype=torch.bool)
    state = agent.policy.initial_state(2)
    _, later = agent.policy.core.step(torch.randn_like(x), state, start)
    core = agent.policy.core
    before, after = (core.views(core.step(x, s, start)[0]) for s in (state, later))
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[0], after[0])


def test_the_diagnostics_of_the_actors_memory_keep_their_names():
    agent = make_agent("dnc", policy={"critic": "own"})
    names = set(agent.policy.core.diagnostics(agent.collector.state))
    assert {"read_weights", "critic.read_weights"} <= names
    assert isinstance(agent.collector.state, TwoStates)


def test_two_memories_keep_the_contract_of_a_memory():
    def build(in_dim):
        gru, lru = (build_memory(name, in_dim, {"hidden_dim": 3}) for name in ("gru", "lru"))
        return TwoMemories(gru, lru, split=False)

    assert not [result for result in check_core(build, steps=50) if not result.passed]


def test_the_cost_is_that_of_both_memories():
    one, two = (build_memory("act", 2, {"hidden_dim": 3}).double() for _ in "ab")
    x, start = torch.randn(5, 3, 2, dtype=torch.float64), torch.zeros(5, 3, dtype=torch.bool)
    both = TwoMemories(one, two, split=False)
    found = both(x, both.initial_state(3), start).cost
    wanted = sum(core(x, core.initial_state(3), start).cost for core in (one, two))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("agent", [NECAgent, MFECAgent, PlanAgent, R2D2])
def test_an_agent_without_a_critic_refuses_the_option(agent):
    parts = Parts(make("probe/Recall-v0", 3), {"name": "none"}, PolicyConfig(critic="own"), 0)
    kind = agent.Config().kind
    with pytest.raises(ValueError, match=f"policy.critic=own is not read by agent={kind}"):
        agent.build(parts, agent.Config())
