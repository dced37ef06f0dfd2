"""A captured collection is the collection: the same rollouts, bit for bit, from the same tensors.

Without a CUDA device a tape stands in for the graph (``tape.py``): it too repeats operations on
addresses and runs no Python.
"""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from small_agents import learn, make_agent
from suites import MEMORIES
from tape import captured

from memrl.agents.ppo import learner
from memrl.agents.ppo.config import BonusConfig
from memrl.envs.make import make
from memrl.envs.minigrid import grid_episodes
from memrl.memory import names
from memrl.memory import state as states
from memrl.rollout import capture
from memrl.rollout.capture_checks import check_capturable

__all__ = ["captured"]  # a fixture

SHORT = {"steps": 3, "bptt": 3, "minibatches": 1}  # an episode of Recall has four steps
EXACT = {"lr": 2**-10, "lr_end": 2**-10}  # a graph holds lr in single precision
PREVIOUS = {"prev_action": True, "prev_reward": True}


def rollout_of(agent):
    """All that a rollout tells the learner, and all that a checkpoint keeps of collecting."""
    return tensors_of({"rollout": vars(agent.rollout), "kept": agent.collector.state_dict()})


def tensors_of(value, name=""):
    match value:
        case torch.Tensor():
            return {name: value}
        case dict():
            items = value.items()
        case tuple():
            items = enumerate(value)
        case _:
            return {}
    parts = [tensors_of(part, f"{name}.{key}") for key, part in items]
    return {name: leaf for part in parts for name, leaf in part.items()}


def assert_same_rollouts(ordinary, graphed, calls=4):
    """The first call warms up, the second records and replays, the others replay."""
    for _ in range(calls):
        ordinary.collect()
        graphed.collect()
        torch.testing.assert_close(
            rollout_of(graphed), rollout_of(ordinary), rtol=0, atol=0, equal_nan=True
        )


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_replayed_rollout_is_the_rollout(captured, memory):
    assert_same_rollouts(make_agent(memory, **SHORT), captured(make_agent(memory, **SHORT)))


@pytest.mark.parametrize(
    ("id", "options"),
    [
        ("probe/OneStep-v0", {}),
        ("probe/NBack-v0", {}),
        ("probe/Pixels-v0", {}),
        ("probe/Masked-v0", {"length": 3, **PREVIOUS}),  # cut off by time
        ("popgym-MineSweeperEasy-v0", PREVIOUS),
        ("popgym-PositionOnlyCartPoleEasy-v0", {}),
        ("MiniGrid-MemoryS7-v0", PREVIOUS),
        ("MiniGrid-DoorKey-5x5-v0", {"bank_size": 4}),
        ("probe/Bandit-v0", {"trial": 4, "contexts": 2}),
        ("probe/TMaze-v0", {"trial": 2, "length": 1}),
        ("MiniGrid-MemoryS7-v0", {"trial": 2}),
        ("MiniGrid-DoorKey-5x5-v0", {"trial": 2, "bank_size": 4}),
    ],
)
def test_every_kind_of_tensor_environment_can_be_replayed(captured, monkeypatch, id, options):
    monkeypatch.setattr(
        grid_episodes, "autoreset_by_index", grid_episodes.autoreset_by_mask
    )  # as on CUDA
    plain, graphed = (make_agent(env=make(id, 5, seed=1, **options), **SHORT) for _ in "ab")
    assert_same_rollouts(plain, captured(graphed))
    assert id != "probe/Masked-v0" or plain.rollout.bootstrap.any()


@pytest.mark.parametrize("kind", ["first_visit", "count", "novelty_difference", "elliptical"])
def test_learning_from_replayed_rollouts_is_the_same_learning(captured, monkeypatch, kind):
    bonus = BonusConfig(kind=kind, key="obs")
    monkeypatch.setattr(learner, "by_episode", lambda chunk: chunk)  # a graph repacks no rows
    plain, graphed = (
        make_agent(bonus=bonus, normalise_returns=True, **SHORT, **EXACT) for _ in "ab"
    )
    for row, same in zip(learn(plain, 4), learn(captured(graphed), 4), strict=True):
        assert {k: str(v) for k, v in row.items()} == {k: str(v) for k, v in same.items()}


def test_a_replay_goes_on_from_a_checkpoint_that_was_loaded(captured):
    plain, graphed = make_agent("ntm", **SHORT), captured(make_agent("ntm", seed=99, **SHORT))
    for _ in range(3):
        graphed.collect()
    plain.collect()
    graphed.load_state_dict(deepcopy(plain.state_dict()))
    assert_same_rollouts(plain, graphed, calls=2)


def test_between_two_collections_everything_lies_where_it_lay():
    agent = make_agent("sam", env=make("probe/OneStep-v0", 5), **SHORT)
    collect = capture.FixedCollect(agent.collector, agent.rollout)
    places = []
    for _ in range(2):
        collect()
        held = states.leaves(capture._state_of(agent.collector))
        places.append([leaf.data_ptr() for leaf in held])
    assert places[0] == places[1]
    assert len(set(places[0])) == len(held)


# What cannot be captured


def test_environments_of_the_host_cannot_be_captured():
    for options in ({}, PREVIOUS):
        agent = make_agent(env=make("CartPole-v1", 5, **options))
        with pytest.raises(ValueError, match="needs environments that step on the device"):
            agent.capture()


def test_a_memory_that_reads_on_the_host_cannot_be_captured():
    pytest.importorskip("faiss", reason="pip install 'memrl[index]'")
    agent = make_agent("sam")
    core = agent.policy.core
    agent.policy.core = type(core)(core.in_dim, slots=5, search="ivf")
    with pytest.raises(ValueError, match="SAM as it is set needs the host"):
        check_capturable(agent.collector)


def test_a_memory_that_learns_on_the_host_cannot_be_captured(monkeypatch):
    agent = make_agent("gru")
    forward = type(agent.policy.core).forward
    monkeypatch.setattr(
        type(agent.policy.core),
        "forward",
        lambda self, x, state, start: forward(self, x * float(x.sum()), state, start),
    )
    with pytest.raises(ValueError, match="needs a memory that learns on the device, and GRU as"):
        agent.capture()


def test_a_number_taken_from_the_host_cannot_be_captured(monkeypatch):
    agent = make_agent("gru")
    update = type(agent.policy.core)._update
    monkeypatch.setattr(
        type(agent.policy.core),
        "_update",
        lambda self, x, state: update(self, x + x.new_tensor(1.0), state),
    )
    with pytest.raises(ValueError, match="GRU as it is set needs the host"):
        agent.capture()


@pytest.mark.parametrize("memory", names())
def test_nothing_but_the_device_is_missing_for(memory):
    with pytest.raises(ValueError, match=r"device=cpu has none \(allowed: cuda, cuda:N\)"):
        make_agent(memory).capture()


@pytest.mark.cuda
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: run the suite on a machine with one"
)
@pytest.mark.parametrize("memory", ["lstm", "dnc", "sam"])
def test_a_graph_collects_what_the_collector_does(memory):
    plain, graphed = (
        make_agent(memory, env=make("MiniGrid-MemoryS7-v0", 5, "cuda", 1), **SHORT) for _ in "ab"
    )
    graphed.capture()
    assert_same_rollouts(plain, graphed)
