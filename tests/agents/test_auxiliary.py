"""Auxiliary losses: what they train, where they are masked, and what they leave alone."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from small_agents import learn, make_agent
from small_r2d2 import learn_r2d2, make_r2d2

from memrl.agents.auxiliary import AuxiliaryConfig
from memrl.agents.ppo.config import PPOConfig
from memrl.agents.r2d2.config import R2D2Config
from memrl.envs.make import make
from memrl.policies.actor_critic import Policy
from memrl.rollout.packing import by_episode

KINDS = ("reconstruct", "predict", "recall")


def options(kind: str, distance: int = 2, **more: float) -> AuxiliaryConfig:
    return AuxiliaryConfig(
        kind=kind, **({"distance": distance} if kind == "recall" else {}), **more
    )


def with_loss(kind: str, memory: str = "gru", **more):
    return make_agent(memory, auxiliary=options(kind), dtype=torch.float64, **more)


def a_chunk(agent):
    agent.collector.collect(agent.rollout)
    return agent.rollout.chunks(torch.arange(agent.rollout.num_chunks()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_over_steps_with_something_to_predict(kind):
    agent = with_loss(kind)
    chunk, heads = a_chunk(agent), agent.learner.auxiliary.heads
    memory = agent.policy(chunk.obs, chunk.state, chunk.start).memory.detach()
    L, M = chunk.start.shape
    offset, total, hits, count = agent.config.auxiliary.offset, 0.0, 0.0, 0
    for t in range(L):
        for b in range(M):
            first, last = sorted((t, t + offset))
            if first < 0 or last >= L or chunk.start[first + 1 : last + 1, b].any():
                continue
            if not (chunk.valid[t, b] and chunk.valid[max(t, last), b]):
                continue
            now = {key: value[t + offset, b : b + 1] for key, value in chunk.obs.items()}
            errors = heads(memory[t, b : b + 1], now)
            total, count = total + float(errors.loss.detach()), count + 1
            hits += float(errors.right)
    assert 0 < count < L * M or kind == "reconstruct"
    got = agent.learner.auxiliary(memory, chunk.obs, chunk.start, chunk.valid)
    assert float(got.loss.detach()) == pytest.approx(total / count, abs=1e-12)
    assert float(got.accuracy) == pytest.approx(hits / count, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_repacked_by_episode_have_the_same_loss(kind):
    agent = with_loss(kind, steps=40, bptt=40, minibatches=1)
    chunk = a_chunk(agent)
    packed = by_episode(chunk)
    assert packed is not chunk
    losses = []
    for each in (chunk, packed):
        memory = agent.policy(each.obs, each.state, each.start).memory
        losses.append(agent.learner.auxiliary(memory, each.obs, each.start, each.valid))
    torch.testing.assert_close(losses[0], losses[1])


def test_a_memory_after_a_burn_in_recalls_what_was_seen_in_it():
    agent = with_loss("recall")
    chunk = a_chunk(agent)
    memory = agent.policy(chunk.obs, chunk.state, chunk.start).memory
    late = chunk.valid.clone()
    late[:3] = False
    whole = agent.learner.auxiliary(memory, chunk.obs, chunk.start, late)
    part = agent.learner.auxiliary(memory[3:], chunk.obs, chunk.start, chunk.valid)
    torch.testing.assert_close(whole, part)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_without_anything_to_predict_have_no_loss(kind):
    agent = make_agent(auxiliary=options(kind), dtype=torch.float64)
    chunk = a_chunk(agent)
    memory = agent.policy(chunk.obs, chunk.state, chunk.start).memory
    none = torch.zeros_like(chunk.valid)
    got = agent.learner.auxiliary(memory, chunk.obs, chunk.start, none)
    got.loss.backward()
    assert float(got.loss.detach()) == float(got.accuracy) == 0
    one = {key: value[:1] for key, value in chunk.obs.items()}
    short = agent.learner.auxiliary(memory[:1], one, chunk.start[:1], chunk.valid[:1])
    assert (float(short.loss.detach()) == 0) == (kind != "reconstruct")


def gradients(agent, chunk) -> dict[str, float]:
    memory = agent.policy(chunk.obs, chunk.state, chunk.start).memory
    agent.learner.optimizer.zero_grad()
    agent.learner.auxiliary(memory, chunk.obs, chunk.start, chunk.valid).loss.backward()
    return {
        name: sum(float(p.grad.abs().sum()) for p in group if p.grad is not None)
        for name, group in agent.learner.groups.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory", ["gru", "dnc", "gtrxl"])
def test_gradients_reach_the_memory_and_the_encoder_but_no_head_of_the_policy(kind, memory):
    agent = with_loss(kind, memory)
    sums = gradients(agent, a_chunk(agent))
    assert sums["memory"] > 0
    assert sums["encoder"] > 0
    assert sums["auxiliary"] > 0
    assert sums["heads"] == 0


@pytest.mark.parametrize("critic", ["own", "none", "shared"])
def test_the_heads_read_the_actors_memory_and_not_what_a_skip_adds(critic):
    agent = with_loss("reconstruct", policy={"critic": critic, "skip": True})
    chunk, policy = a_chunk(agent), agent.policy
    core = policy.core if critic == "shared" else policy.core.actor
    x = policy.encoder(chunk.obs)
    state = chunk.state if critic == "shared" else chunk.state.actor
    want = core(x, state, chunk.start).y
    got = policy(chunk.obs, chunk.state, chunk.start).memory
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_logged_and_its_heads_learn(kind):
    agent = make_agent(auxiliary=options(kind))
    before = deepcopy(agent.learner.auxiliary.state_dict())
    row = learn(agent, 1)[0]
    assert row["train/auxiliary"] > 0
    assert 0 <= row["train/auxiliary_accuracy"] <= 1
    assert row["grad_norm/auxiliary"] > 0
    after = agent.learner.auxiliary.state_dict()
    assert not any(torch.equal(after[name], value) for name, value in before.items())


def test_a_task_of_numbers_has_no_accuracy():
    agent = make_agent(env=make("CartPole-v1", 3), auxiliary=options("predict"))
    row = learn(agent, 1)[0]
    assert math.isfinite(row["train/auxiliary"])
    assert "train/auxiliary_accuracy" not in row


@pytest.mark.parametrize("id", ["MiniGrid-MemoryS7-v0", "probe/Pixels-v0", "probe/Masked-v0"])
def test_every_kind_of_observation_is_predicted(id):
    row = learn(make_agent(env=make(id, 3, seed=2), auxiliary=options("recall")), 1)[0]
    assert row["train/auxiliary"] > 0


def test_without_it_nothing_is_logged_and_the_run_is_the_same():
    plain, off = (make_agent(**more) for more in ({}, {"auxiliary": AuxiliaryConfig()}))
    rows = [learn(agent, 2) for agent in (plain, off)]
    assert list(map(str, rows[0][-1].values())) == list(map(str, rows[1][-1].values()))
    assert not any("auxiliary" in name for name in rows[0][0])


def test_acting_and_exports_hold_nothing_of_it():
    agent, plain = make_agent(auxiliary=options("reconstruct")), make_agent()
    assert isinstance(agent.policy, Policy)
    assert agent.policy.state_dict().keys() == plain.policy.state_dict().keys()


def test_another_weight_trains_the_memory_otherwise():
    light, heavy = (
        make_agent(auxiliary=options("reconstruct", weight=weight)) for weight in (1e-3, 10.0)
    )
    for agent in (light, heavy):
        learn(agent, 1)
    weights = [agent.policy.core.state_dict() for agent in (light, heavy)]
    assert not all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("kind", KINDS)
def test_r2d2_learns_from_it_and_reports_it_from_the_first_row_on(kind):
    agent = make_r2d2(auxiliary=options(kind), replay={"fill": 200})
    first, *_, last = learn_r2d2(agent, 3)
    assert first.keys() == last.keys()
    assert math.isnan(first["train/auxiliary"])
    assert last["train/auxiliary"] > 0
    assert 0 <= last["train/auxiliary_accuracy"] <= 1
    assert last["grad_norm/auxiliary"] > 0


@pytest.mark.parametrize("name", ["weight", "distance"])
def test_an_option_that_the_kind_does_not_read_is_refused(name):
    with pytest.raises(ValueError, match=rf"agent.auxiliary.{name}=5.* is not read by .*kind=none"):
        AuxiliaryConfig(**{name: 5.0 if name == "weight" else 5})


def test_only_recall_reads_a_distance():
    with pytest.raises(ValueError, match=r"is not read by agent.auxiliary.kind=predict \(it is by"):
        AuxiliaryConfig(kind="predict", distance=5)


@pytest.mark.parametrize(
    ("make_config", "sentence"),
    [
        (lambda a: PPOConfig(bptt=8, auxiliary=a), "distance=8, allowed: below 8, since a chunk"),
        (lambda a: PPOConfig(steps=5, auxiliary=a), "distance=8, allowed: below 5, since a chunk"),
        (
            lambda a: R2D2Config(burn_in=0, unroll=5, n_step=3, auxiliary=a),
            "distance=8, allowed: below 8, since a sequence",
        ),
    ],
)
def test_a_distance_that_no_sequence_has_is_refused(make_config, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_config(AuxiliaryConfig(kind="recall", distance=8))


def test_the_next_observation_needs_sequences_of_two_steps():
    with pytest.raises(ValueError, match=r"kind=predict with a chunk has 1 env steps"):
        PPOConfig(steps=1, auxiliary=AuxiliaryConfig(kind="predict"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reached"), [("reconstruct", 0.97), ("recall", 0.9)])
def test_a_memory_learns_to_say_what_it_saw(kind, reached):
    agent = make_agent(
        env=make("probe/Recall-v0", 16, delay=2),
        auxiliary=options(kind, distance=1, weight=1.0),
        steps=16,
        bptt=16,
        lr=1e-2,
    )
    rows = learn(agent, 60)
    assert rows[0]["train/auxiliary_accuracy"] < 0.8
    assert rows[-1]["train/auxiliary_accuracy"] > reached
