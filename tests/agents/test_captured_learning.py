"""A captured learner is the learner: the same parameters, optimiser and metrics, bit for bit.

As in ``test_capture.py``, a tape stands in for the graph. A graph does not repack rows by episode,
and holds learning rates in single precision; tests of equal bits do the same.
"""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import tape
import torch
from small_agents import learn, make_agent
from suites import slow, slow_but
from tape import captured

from memrl.agents.auxiliary import AuxiliaryConfig
from memrl.agents.ppo import learner
from memrl.agents.ppo.config import SelfImitationConfig
from memrl.envs.make import make
from memrl.memory import names

__all__ = ["captured"]  # a fixture

# Every chunk has a start inside: Recall's episodes have four steps.
SMALL = {"steps": 10, "bptt": 5, "minibatches": 2, "lr": 2**-10, "lr_end": 2**-10}


@pytest.fixture
def unpacked(monkeypatch):
    monkeypatch.setattr(learner, "by_episode", lambda chunk: chunk)


def learned(agent):
    saved = agent.state_dict()
    return {name: saved[name] for name in ("policy", "optimizer", "shuffler")}


def assert_same_learning(plain, graphed, iterations=2, **tolerance):
    """The first minibatch warms up, the second records and replays, the others replay."""
    rows, same = learn(plain, iterations), learn(graphed, iterations)
    torch.testing.assert_close(learned(graphed), learned(plain), **tolerance)
    for row, other in zip(rows, same, strict=True):
        compared = [
            {k: x for k, x in r.items() if not k.startswith("memory/reach")} for r in (other, row)
        ]
        torch.testing.assert_close(*compared, equal_nan=True, **tolerance)


@pytest.mark.parametrize("memory", slow_but({"gru"}, names()))
def test_replayed_minibatches_are_the_minibatches(captured, unpacked, memory):
    plain, graphed = (make_agent(memory, **SMALL) for _ in "ab")
    learn(plain, 2)
    learn(captured(graphed), 2)
    torch.testing.assert_close(learned(graphed), learned(plain), rtol=0, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"minibatches": 3},  # of 4, 3 and 3 chunks
        {"auxiliary": AuxiliaryConfig(kind="recall", distance=2)},
        slow({"auxiliary": AuxiliaryConfig(kind="predict"), "minibatches": 3}),
        slow({"steps": 7, "minibatches": 4}),  # chunks of 5 and 2 steps, some minibatches of these
        slow({"burn_in": 2}),
        slow({"refresh_states": True}),
        slow({"target_kl": 1e-7}),
        slow({"value_clip": 0.1, "normalise_returns": True}),
        slow({"lr_end": 0.0, "entropy_end": 0.5, "lr_memory": 0.3}),
        slow({"self_imitation": SelfImitationConfig(kind="episodes", capacity=5, longest=8)}),
    ],
    ids=lambda options: " ".join(options),
)
def test_every_option_of_the_learner_can_be_captured(captured, options):
    plain, graphed = (make_agent("gru", **SMALL | options) for _ in "ab")
    assert_same_learning(plain, captured(graphed), rtol=2e-4, atol=2e-6)


@pytest.mark.slow
def test_bf16_can_be_captured(captured, unpacked):
    plain, graphed = (make_agent("gru", precision="bf16", **SMALL) for _ in "ab")
    assert_same_learning(plain, captured(graphed), rtol=0, atol=0)


@pytest.mark.parametrize("saved_from", ["eager", slow("captured")])
def test_a_captured_learner_goes_on_from_a_saved_state(captured, unpacked, saved_from):
    first = make_agent("gru", **SMALL)
    if saved_from == "captured":
        captured(first)
    second, eager = captured(make_agent("gru", seed=99, **SMALL)), make_agent("gru", **SMALL)
    learn(first, 2)
    learn(second, 2)
    saved = deepcopy(first.state_dict())
    for agent in (second, eager):
        agent.load_state_dict(saved)
    assert_same_learning(eager, second, rtol=0, atol=0)
    learn(first, 2)
    torch.testing.assert_close(learned(second), learned(first), rtol=0, atol=0)


@pytest.mark.parametrize("memory", ["gru", slow("sam")])
def test_until_the_end_of_an_iteration_no_value_reaches_the_host(captured, monkeypatch, memory):
    options = {"refresh_states": True, "normalise_returns": True, **SMALL}
    recall = AuxiliaryConfig(kind="recall", distance=2)
    agent = captured(make_agent(memory, auxiliary=recall, **options))
    learn(agent, 1)
    checked = []
    monkeypatch.setattr(agent.learner.captured, "check", checked.append)
    with tape.NothingRead():
        agent.collect()
        agent.improve(progress=0.5)
    assert len(checked) == 1


@pytest.mark.parametrize("replays", [slow(0), 2])
def test_a_nan_changes_nothing_and_is_named_when_the_iteration_ends(captured, unpacked, replays):
    agent = captured(make_agent("gru", **SMALL))
    learn(agent, replays)
    agent.collect()
    before = deepcopy(dict(agent.policy.state_dict()))
    agent.rollout.reward.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"the value loss .* became NaN or infinite after"):
        agent.improve(progress=0.5)
    torch.testing.assert_close(dict(agent.policy.state_dict()), before, rtol=0, atol=0)
    agent.collect()
    agent.improve(progress=0.5)
    assert not torch.equal(agent.policy.critic.bias, before["critic.bias"])


needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: run the suite on a machine with one"
)


def on_cuda(memory, **options):
    env = make("MiniGrid-MemoryS7-v0", 5, "cuda", 1)
    return make_agent(memory, env=env, **SMALL | options)


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"minibatches": 3},
        {"precision": "bf16"},
        {"auxiliary": AuxiliaryConfig(kind="recall", distance=2)},
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("memory", ["gru", "lstm", "dnc", "sam"])
def test_a_graph_learns_what_the_learner_does(memory, options):
    plain, graphed = (on_cuda(memory, **options) for _ in "ab")
    graphed.capture()
    half = "precision" in options
    tolerance = {"rtol": 2e-2, "atol": 2e-3} if half else {"rtol": 1e-3, "atol": 1e-4}
    assert_same_learning(plain, graphed, iterations=3, **tolerance)


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("memory", ["gru", "lstm", "dnc", "sam", "gtrxl", "lru"])
def test_an_iteration_waits_for_the_device_only_when_it_ends(memory, monkeypatch):
    agent = on_cuda(memory, refresh_states=True)
    agent.capture()
    learn(agent, 2)
    monkeypatch.setattr(agent.learner.captured, "check", lambda averages: None)
    torch.cuda.set_sync_debug_mode("error")
    try:
        agent.collect()
        agent.improve(progress=0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
