"""R2D2 learns from sequences of earlier tasks beside its own."""

from __future__ import annotations

import pytest
import torch
from small_r2d2 import learn_r2d2, make_r2d2
from suites import slow_but

from memrl.agents.r2d2.config import R2D2Config, RehearsalConfig
from memrl.agents.r2d2.rehearsal import cloning_loss, record
from memrl.envs.make import make
from memrl.losses.q import rescale
from memrl.memory import state as states

REHEARSES = RehearsalConfig(runs=("somewhere",), steps=29)
LENGTH, STRIDE = 12, 7


def recording(memory="gru", num=3, *, dtype=torch.float32, rescaled=0.0, seed=11, **config):
    """What another agent did in three environments of a longer task."""
    env = make("probe/Recall-v0", num, delay=3, prev_action=True, prev_reward=True)
    agent = make_r2d2(memory, env, seed=seed, dtype=dtype, rehearsal=REHEARSES, **config)
    return record(env, agent.policy, agent.config, rescaled=rescaled, seed=seed)


def rehearsing(*recordings, rehearsal=REHEARSES, **config):
    agent = make_r2d2(rehearsal=rehearsal, **config)
    agent.rehearse(recordings)
    return agent


def filled(agent, steps=40):
    for _ in range(steps):
        agent.collector.step(agent.replay)
    return agent


def test_a_minibatch_is_the_replays_sequences_and_whole_ones_of_earlier_tasks():
    old = recording(), recording(num=2, seed=13)
    agent = filled(rehearsing(*old, batch=7, rehearsal=REHEARSES.model_copy(update={"share": 0.4})))
    rehearsal = agent.learner.rehearsal
    rehearsal.refresh(agent.policy)
    own = agent.replay.draw(1.0)
    rehearsal.generator.manual_seed(1)
    batch = rehearsal.beside(own)
    index = torch.randint(15, (3,), generator=torch.Generator().manual_seed(1))
    assert own.steps["action"].shape == (LENGTH, 4)
    assert batch.steps["action"].shape == (LENGTH, 7)
    for name, x in batch.steps.items():
        assert torch.equal(x[:, :4], own.steps[name])
        for m, i in enumerate(index.tolist()):
            row, begin = i % 5, i // 5 * STRIDE
            task = old[0][name][:, row] if row < 3 else old[1][name][:, row - 3]
            assert torch.equal(x[:, 4 + m], task[begin : begin + LENGTH]), name
    assert torch.equal(batch.weight[:4], own.weight)
    assert batch.weight[4:].tolist() == [1.0] * 3


@pytest.mark.parametrize("memory", slow_but({"lstm"}, ["lstm", "dnc", "none"]))
def test_states_of_old_sequences_are_those_of_the_present_network(memory):
    """The network that acted there had another memory."""
    old = recording("gru", dtype=torch.float64)
    agent = rehearsing(old, memory=memory, dtype=torch.float64)
    rehearsal, state = agent.learner.rehearsal, agent.policy.initial_state(3)
    rehearsal.refresh(agent.policy)
    for t in range(15):
        if t % STRIDE == 0:
            kept = [leaf[t // STRIDE] for leaf in states.leaves(rehearsal.states)]
            torch.testing.assert_close(kept, states.leaves(state))
        obs = {name.removeprefix("obs."): x[t] for name, x in old.items() if "obs." in name}
        with torch.no_grad():
            state = agent.policy.step(obs, state, old["start"][t]).state


def test_old_sequences_change_no_priority_of_the_replay():
    alone, beside = filled(make_r2d2(batch=3)), filled(rehearsing(recording(), batch=6))
    beside.learner.rehearsal.refresh(beside.policy)
    for agent in (alone, beside):
        agent.learner.improve(agent.replay, 1.0)
    found = [agent.replay.sequences.tree.priorities for agent in (alone, beside)]
    torch.testing.assert_close(*found)


def test_an_update_is_that_of_a_replay_that_drew_the_same_sequences():
    """Old sequences have the same targets, and the same weight in the loss, as new ones."""
    plain = REHEARSES.model_copy(update={"value_weight": 0.0})
    agent = filled(rehearsing(recording(), rehearsal=plain))
    rehearsal, own = agent.learner.rehearsal, agent.replay.draw(1.0)
    rehearsal.refresh(agent.policy)
    rehearsal.generator.manual_seed(1)
    both = rehearsal.beside(own)
    drawn = both.drawn._replace(number=torch.arange(6))
    other = filled(make_r2d2())
    other.replay.draw = lambda beta: both._replace(taught=None, drawn=drawn)
    agent.replay.draw = lambda beta: own
    rehearsal.generator.manual_seed(1)
    found, expected = (a.learner.improve(a.replay, 1.0) for a in (agent, other))
    assert all(torch.equal(found[key], expected[key]) for key in ("train/loss", "grad_norm/all"))


def test_the_cloning_loss_is_of_the_actions_that_are_allowed():
    generator = torch.Generator().manual_seed(2)
    q, taught = torch.randn(2, 5, 3, 2, generator=generator, dtype=torch.float64)
    valid = torch.rand(5, 3, generator=generator) < 0.7
    lowest = torch.finfo(q.dtype).min
    q[1, 2, 0] = taught[1, 2, 0] = lowest
    errors = []
    for t, m in valid.nonzero().tolist():
        known = [a for a in range(2) if q[t, m, a] != lowest]
        errors.append(sum(0.5 * (q[t, m, a] - taught[t, m, a]) ** 2 for a in known) / len(known))
    torch.testing.assert_close(cloning_loss(q, taught, valid), torch.stack(errors).mean())


def test_taught_values_are_on_the_scale_of_the_agent_that_learns():
    plain = recording(dtype=torch.float64)["taught"]
    scaled = recording(dtype=torch.float64, rescale=0.01)["taught"]
    torch.testing.assert_close(scaled, rescale(plain, 0.01))
    both = recording(dtype=torch.float64, rescale=0.01, rescaled=0.01)["taught"]
    torch.testing.assert_close(both, plain)


def test_an_agent_comes_nearer_to_the_values_that_it_is_taught():
    old = recording()
    old["taught"] = old["taught"] + 3
    rows = learn_r2d2(rehearsing(old, lr=1e-2), 3)
    assert rows[-1]["train/rehearsal_value"] < 0.5 * rows[0]["train/rehearsal_value"]


def test_a_run_that_rehearses_goes_on_bit_for_bit():
    first, second = (rehearsing(recording(), seed=seed) for seed in (3, 99))
    learn_r2d2(first, 1)
    second.load_state_dict(first.state_dict())
    assert str(learn_r2d2(first, 2)) == str(learn_r2d2(second, 2))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"steps": 42}, "rehearsal.steps is 42, but a sequence has 43 env steps .* at least 43"),
        ({"share": 0.01}, "share=0.01 of agent.batch=32 is 0 sequences, allowed: at least 1"),
        ({"share": 0.99}, "share=0.99 of agent.batch=32 is 32 sequences"),
        ({"runs": ()}, r"value_weight=0.25 is not read by agent.rehearsal.runs=\[\]"),
    ],
)
def test_what_cannot_be_rehearsed_is_one_sentence(config, expected):
    with pytest.raises(ValueError, match=expected):
        R2D2Config(rehearsal={"runs": ("somewhere",), "value_weight": 0.25, **config})
