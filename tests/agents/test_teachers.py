"""Teachers follow what an agent observes, with memories of their own; it learns to do as they."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from small_agents import learn, make_agent
from tape import captured

from memrl.agents.ppo import learner
from memrl.agents.ppo.config import TeacherConfig
from memrl.agents.ppo.teachers import Teacher
from memrl.losses.ppo import mean_count
from memrl.nn.normalise import RunningNorm
from memrl.rollout.packing import by_episode

__all__ = ["captured"]  # a fixture

TAUGHT = TeacherConfig(runs=("somewhere",))
ONLY = {"teacher": TAUGHT, "policy_coef": 0.0, "entropy": 0.0}


def teacher_of(memory="lstm", seed=11, norm=None, dtype=torch.float64):
    return Teacher(make_agent(memory, seed=seed, dtype=dtype).policy, norm)


def pupil(*teachers, memory="gru", dtype=torch.float64, **options):
    agent = make_agent(memory, dtype=dtype, **(ONLY | options))
    agent.learn_from(teachers)
    return agent


def collected(agent):
    agent.collect()
    agent._compute_advantages()
    agent.learner.teachers.follow(agent.rollout)
    return agent.rollout


@pytest.mark.parametrize("memory", ["lstm", "dnc"])
def test_a_teachers_memory_goes_on_from_rollout_to_rollout_and_ends_with_an_episode(memory):
    teacher = teacher_of(memory)
    agent = pupil(teacher)
    state = teacher.policy.initial_state(5)
    for _ in range(2):
        rollout = collected(agent)
        for t in range(21):
            obs = {key: value[t] for key, value in rollout.obs.items()}
            with torch.no_grad():
                out = teacher.policy.step(obs, state, rollout.start[t])
            state = out.state
            torch.testing.assert_close(rollout.taught["0.value"][t], out.value)
            torch.testing.assert_close(rollout.taught["0.logits"][t], out.actions.log_probs)


@pytest.mark.parametrize("packed", [False, True])
def test_the_loss_is_the_mean_divergence_of_the_definition(packed):
    agent = pupil(teacher_of(seed=11), teacher_of("gru", seed=12))
    rollout = collected(agent)
    chunk = rollout.chunks(torch.tensor([3, 7, 11]))
    chunk = by_episode(chunk) if packed else chunk
    with torch.no_grad():
        out = agent.policy(chunk.obs, chunk.state, chunk.start)
    far = agent.learner.teachers.loss(agent.policy.actor, chunk, out, mean_count(chunk.valid))
    kl, value, steps = 0.0, 0.0, 0
    for t, m in chunk.valid.nonzero().tolist():
        steps += 1
        for i in range(2):
            p = chunk.taught[f"{i}.logits"][t, m].exp().tolist()
            q = out.actions.log_probs[t, m].exp().tolist()
            for one, other in zip(p, q, strict=True):
                kl += one * math.log(one / other) / 2
            value += 0.25 * float(chunk.taught[f"{i}.value"][t, m] - out.value[t, m]) ** 2
    assert float(far.kl) == pytest.approx(kl / steps, rel=1e-6)
    assert float(far.value) == pytest.approx(value / steps, rel=1e-9)


def test_an_agent_is_no_distance_from_itself():
    agent = make_agent("gru", dtype=torch.float64, **ONLY)
    agent.learn_from([Teacher(deepcopy(agent.policy), None)])
    chunk = collected(agent).chunks(torch.arange(15))
    taught = agent.policy.actor.distribution({"logits": chunk.taught["0.logits"]})
    torch.testing.assert_close(taught.log_prob(chunk.action), chunk.log_prob)
    with torch.no_grad():
        out = agent.policy(chunk.obs, chunk.state, chunk.start)
    far = agent.learner.teachers.loss(agent.policy.actor, chunk, out, mean_count(chunk.valid))
    torch.testing.assert_close(torch.stack(far), torch.zeros(2, dtype=torch.float64))


def test_an_agent_comes_closer_to_its_teacher_which_does_not_change():
    teacher = teacher_of(dtype=torch.float32)
    teacher.policy.actor.layer.weight.data.mul_(100)  # a new policy is close to uniform
    before = deepcopy(teacher.policy.state_dict())
    agent = pupil(teacher, dtype=torch.float32, lr=3e-3)
    rows = learn(agent, 16)
    assert rows[-1]["train/teacher_kl"] < 0.3 * rows[0]["train/teacher_kl"]
    torch.testing.assert_close(dict(teacher.policy.state_dict()), dict(before), rtol=0, atol=0)
    assert all(p.grad is None for p in teacher.policy.parameters())


def test_a_teachers_values_are_in_units_of_reward_on_the_agents_scale():
    norms = [RunningNorm(1, clip=None) for _ in "ab"]
    for norm, values in zip(norms, ([2.0, 6.0], [-1.0, 5.0]), strict=True):
        norm.update(torch.tensor(values).unsqueeze(1), torch.tensor([True, True]))
    teacher = teacher_of(norm=norms[0])
    agent = pupil(teacher, normalise_returns=True)
    agent.return_norm.load_state_dict(norms[1].state_dict())
    rollout = collected(agent)
    with torch.no_grad():
        out = teacher.policy(rollout.obs, teacher.policy.initial_state(5), rollout.start)
    expected = ((out.value * 2 + 4) - 2) / 3  # mean 4, std 2 there; mean 2, std 3 here
    torch.testing.assert_close(rollout.taught["0.value"], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("memory", ["lstm", "dnc"])
def test_a_taught_agent_goes_on_bit_for_bit(memory):
    first, second = (pupil(teacher_of(memory, dtype=torch.float32), dtype=torch.float32)
                     for _ in "ab")  # fmt: skip
    learn(first, 2)
    second.load_state_dict(deepcopy(first.state_dict()))
    rows = [learn(agent, 2) for agent in (first, second)]
    torch.testing.assert_close(*rows, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_an_agent_that_only_acts_needs_no_teacher():
    taught, alone = pupil(teacher_of(), dtype=torch.float64), make_agent("gru", dtype=torch.float64)
    learn(taught, 1)
    alone.load_state_dict(taught.state_dict())
    torch.testing.assert_close(dict(alone.policy.state_dict()), dict(taught.policy.state_dict()))


def test_captured_minibatches_learn_the_same(captured, monkeypatch):
    monkeypatch.setattr(learner, "by_episode", lambda chunk: chunk)
    options = {"steps": 10, "bptt": 5, "minibatches": 2, "lr": 2**-10, "lr_end": 2**-10}
    plain, graphed = (pupil(teacher_of(dtype=torch.float32), dtype=torch.float32, **options)
                      for _ in "ab")  # fmt: skip
    captured(graphed)
    rows = [learn(agent, 2) for agent in (plain, graphed)]
    assert [row["train/teacher_kl"] for row in rows[0]] == [
        row["train/teacher_kl"] for row in rows[1]
    ]
    torch.testing.assert_close(
        dict(graphed.policy.state_dict()), dict(plain.policy.state_dict()), rtol=0, atol=0
    )


def test_what_is_taught_is_written_in_place():  # a captured learner reads these tensors
    agent = pupil(teacher_of())
    before = collected(agent).taught["0.value"]
    assert collected(agent).taught["0.value"] is before


def test_without_teachers_their_weights_are_not_read():
    with pytest.raises(ValueError, match=r"weight=2.0 is not read by agent.teacher.runs=\[\]"):
        TeacherConfig(weight=2.0)
    assert TeacherConfig().unread() == {"weight", "value_weight"}
    assert TAUGHT.unread() == set()
