"""Agents that act by remembered returns: repeatable, resumable, careful about ends of episodes."""

from __future__ import annotations

import math

import pytest
import torch
from overwriting import Overwriting
from scripted import Masked, Script
from small_episodic import MEMORY, copied, learn, make_agent

from memrl.agents.base import Parts
from memrl.agents.episodic.build import MFECAgent, NECAgent
from memrl.agents.episodic.mfec import MFECConfig
from memrl.agents.episodic.nec import NECConfig
from memrl.envs.make import make
from memrl.policies.backbone import PolicyConfig

KINDS = ("nec", "mfec")


def words(rows):
    return [{name: str(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_run_bit_for_bit(kind):
    a, b = (words(learn(make_agent(kind, seed=5), 4)) for _ in "ab")
    assert a == b
    assert a != words(learn(make_agent(kind, seed=6), 4))


@pytest.mark.parametrize(
    ("kind", "index"), [("nec", "exact"), ("mfec", "exact"), ("nec", "ivf"), ("nec", "lsh")]
)
def test_a_saved_agent_goes_on_as_if_nothing_happened(kind, index):
    if index != "exact":
        pytest.importorskip("faiss")
    first, second = make_agent(kind, index=index), make_agent(kind, seed=99, index=index)
    learn(first, 3)
    second.load_state_dict(copied(first.state_dict()))
    assert words(learn(first, 3)) == words(learn(second, 3))
    obs = first.obs
    for agent in (first, second):
        agent.begin(seed=8)
    assert torch.equal(first.act(obs), second.act(obs))
    for name, array in first.method.dictionaries.entries.arrays().items():
        assert torch.equal(array, second.method.dictionaries.entries.arrays()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_a_saved_state_leaves_it_as_it_is(kind):
    first, second = make_agent(kind), make_agent(kind, seed=99)
    learn(first, 3)
    saved, untouched = copied(first.state_dict()), copied(first.state_dict())
    second.load_state_dict(saved)
    learn(second, 3)
    assert repr(saved) == repr(untouched)
    assert all(torch.equal(a, b) for a, b in zip(tensors(saved), tensors(untouched), strict=True))


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [x for item in value.values() for x in tensors(item)] if isinstance(value, dict) else []


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_saved_before_anything_is_known_loads(kind):
    first, second = make_agent(kind), make_agent(kind, seed=99)
    second.load_state_dict(copied(first.state_dict()))
    assert words(learn(first, 3)) == words(learn(second, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_acting_touches_nothing_of_training(kind):
    agent, alone = make_agent(kind), make_agent(kind)
    learn(agent, 3), learn(alone, 3)
    agent.begin(seed=1)
    for t in range(5):
        agent.act(agent.obs, t == 0)
    assert words(learn(agent, 2)) == words(learn(alone, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_acting_is_the_same_for_every_seed_and_shows_values(kind):
    agent = make_agent(kind)
    learn(agent, 5)
    picks = []
    for seed in range(3):
        agent.begin(seed=seed, greedy=True)
        assert agent.memory() == {}
        picks.append(agent.act(agent.obs).tolist())
    assert picks[0] == picks[1] == picks[2]
    assert agent.memory()["action_values"].argmax(1).tolist() == picks[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_ablation_that_it_has_not_is_refused(kind):
    with pytest.raises(ValueError, match="cannot ablate 'reads'"):
        make_agent(kind).begin(ablate="reads")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_random_actions_become_rare_along_a_line(kind):
    agent = make_agent(kind, epsilon=0.1, epsilon_steps=144.0)
    begin = agent.method.random_steps()
    rates = [row["train/epsilon"] for row in learn(agent, 8)]
    steps = [36 * (n + 1) for n in range(8)]
    want = [1 - 0.9 * min(1, max(0, (s - begin) / 144)) for s in steps]
    assert rates == pytest.approx(want)


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_is_refused(kind):
    env, gru = make("probe/Recall-v0", 3), {"name": "gru", "hidden_dim": 5}
    build = {
        "nec": lambda: NECAgent.build(Parts(env, gru, PolicyConfig(), 0), NECConfig()),
        "mfec": lambda: MFECAgent.build(Parts(env, gru, PolicyConfig(), 0), MFECConfig()),
    }
    with pytest.raises(ValueError, match=f"agent={kind} remembers in dictionaries.* memory=gru"):
        build[kind]()


def test_a_head_that_nobody_reads_is_refused():
    env = make("probe/Recall-v0", 3)
    with pytest.raises(ValueError, match=r"agent=nec has no heads: policy\.head_dim=9"):
        NECAgent.build(Parts(env, MEMORY, PolicyConfig(head_dim=9), 0), NECConfig())


@pytest.mark.parametrize("kind", KINDS)
def test_an_iteration_has_all_its_steps_however_they_fall_into_cycles(kind):
    agent = make_agent(kind, steps=11)  # of 2 each, and one of 1
    rows = learn(agent, 2)
    assert len(rows) == 2
    assert agent.env_steps == 2 * 3 * 11


def test_a_replay_that_cannot_hold_what_waits_is_refused():
    with pytest.raises(ValueError, match=r"agent\.replay=29 is too small, allowed: at least 30"):
        make_agent("nec", replay=29)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_agent_is_refused_and_changes_nothing(kind):
    other = make_agent({"nec": "mfec", "mfec": "nec"}[kind])
    agent, alone = make_agent(kind), make_agent(kind)
    learn(agent, 3), learn(alone, 3)
    with pytest.raises(ValueError, match=f"not one of agent={kind}: it lacks {kind}"):
        agent.load_state_dict(other.state_dict())
    assert words(learn(agent, 2)) == words(learn(alone, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["store", "clock", "weights"])
def test_a_file_without_its_store_is_refused_and_changes_nothing(kind, damage):
    agent, alone = make_agent(kind), make_agent(kind)
    learn(agent, 3), learn(alone, 3)
    state = copied(make_agent(kind, seed=9).state_dict())
    part = state[kind]
    if damage == "store":
        del part["store"]
    elif damage == "clock":
        del part["store"]["clock"]
    else:
        part["policy"].popitem()
    with pytest.raises(ValueError, match=r"it lacks store|lack clock|is nothing in the checkpoint"):
        agent.load_state_dict(state)
    assert words(learn(agent, 2)) == words(learn(alone, 2))


def written(env, **config):
    """Returns that MFEC writes, by action and time, in one cycle over a script."""
    agent = make_agent("mfec", env, every=env.num_envs * len(env.reward), steps=len(env.reward),
                       gamma=0.5, **config)  # fmt: skip
    seen = []
    store = agent.method.store
    agent.method.store = lambda known, steps: seen.append(known) or store(known, steps)
    agent.learn(1, lambda row: None)
    return [x for known in seen for x in known.returns.tolist()], agent


def test_a_terminated_episode_ends_with_its_reward():
    env = Script([[1.0], [2.0], [4.0]], [[False], [False], [True]], [[False]] * 3)
    assert written(env)[0] == [1 + 0.5 * 2 + 0.25 * 4, 2 + 0.5 * 4, 4]


def test_an_episode_that_was_cut_off_goes_on_with_the_value_of_its_last_observation():
    env = Script([[1.0], [2.0], [4.0]], [[False]] * 3, [[False], [False], [True]])
    agent = make_agent("mfec", env, every=3, steps=3, gamma=0.5)
    key = agent.method.policy({"obs": torch.tensor([3 + 4])})  # the last observation
    agent.method.dictionaries.write(torch.tensor([1]), key, torch.tensor([10.0]))
    seen = []
    agent.method.store = lambda known, steps: seen.extend(known.returns.tolist()) or {}
    agent.learn(1, lambda row: None)
    assert seen == [1 + 0.5 * 2 + 0.25 * 4 + 0.125 * 10, 2 + 0.5 * 4 + 0.25 * 10, 4 + 0.5 * 10]


def test_a_row_that_is_no_step_is_neither_counted_nor_written():
    env = Script([[1.0], [9.0], [4.0]], [[True], [False], [True]], [[False]] * 3,
                 valid=[[True], [False], [True]])  # fmt: skip
    returns, agent = written(env)
    assert returns == [1, 4]
    assert agent.env_steps == 2
    assert (
        agent.method.dictionaries.entries.held[0] + agent.method.dictionaries.entries.held[1] == 2
    )


def test_masked_actions_are_never_taken():
    steps = 40
    for kind in KINDS:
        env = Masked([[1.0, -1.0]] * steps, [[False, True]] * steps, [[False] * 2] * steps)
        agent = make_agent(
            kind, env, every=8, steps=steps, **({"warmup": 10} if kind == "nec" else {})
        )
        agent.learn(1, lambda row: None)
        assert set(env.taken) == {1}
        agent.begin(greedy=True)
        assert agent.act(agent.obs).tolist() == [1, 1]


def test_metrics_are_those_of_the_episodes_that_ended():
    ended = [[False, True], [False, True], [True, False]]
    env = Script([[1.0, 2.0], [1.0, 5.0], [1.0, 1.0]], ended, [[False] * 2] * 3)
    rows = []
    agent = make_agent("mfec", env, every=6, steps=3)
    agent.learn(1, rows.append)
    assert rows[0]["episode/count"] == 3
    assert rows[0]["episode/return"] == pytest.approx((3 + 2 + 5) / 3)
    assert rows[0]["episode/length"] == pytest.approx(5 / 3)
    assert rows[0]["rollout/reward"] == pytest.approx(11 / 6)


def test_an_iteration_without_an_end_has_no_return():
    env = Script([[1.0]] * 3, [[False]] * 3, [[False]] * 3)
    rows = []
    make_agent("mfec", env, every=3, steps=3).learn(1, rows.append)
    assert math.isnan(rows[0]["episode/return"])


def test_a_nan_return_stops_before_it_spoils_anything():
    agent = make_agent("nec")
    learn(agent, 3)
    agent.method.replay.arrays["returns"].fill_(math.nan)
    before = copied(agent.method.state_dict())
    with pytest.raises(FloatingPointError, match=r"became NaN or infinite"):
        agent.method.improve(agent.env_steps)
    after = agent.method.state_dict()
    for part, names in (("policy", before["policy"]), ("store", ("keys", "values"))):
        assert all(torch.equal(before[part][name], after[part][name]) for name in names)
    with pytest.raises(FloatingPointError, match=r"after \d+ env steps"):
        learn(agent, 3)


def test_embedding_keys_and_values_all_learn():
    agent = make_agent("nec")
    learn(agent, 2)
    weights = [weight.detach().clone() for weight in agent.policy.parameters()]
    entries = agent.method.dictionaries.entries
    keys, values = entries.keys.clone(), entries.values.clone()
    for _ in range(5):
        agent.method.improve(agent.env_steps)
    assert all(
        not torch.equal(old, new)
        for old, new in zip(weights, agent.policy.parameters(), strict=True)
    )
    assert not torch.equal(keys, entries.keys)
    assert not torch.equal(values, entries.values)


def test_statistics_of_observations_are_fixed_with_the_first_writes():
    agent = make_agent("nec", make("CartPole-v1", 3))
    counts = []
    agent.learn(36 * 5, lambda row: counts.append((
        float(agent.policy.encoder.parts[0].norm.count), agent.method.warm
    )))  # fmt: skip
    assert counts[-1][0] > 0
    assert len({count for count, warm in counts if warm}) == 1
    assert all(count == 0 for count, warm in counts if not warm)


def test_what_was_seen_is_stored_even_where_an_environment_writes_over_it():
    agent = make_agent("nec", Overwriting(), warmup=100)
    learn(agent, 1)
    seen = agent.method.replay.arrays["obs.obs"][: len(agent.method.replay)]
    assert torch.equal(seen, torch.arange(len(seen)) // 2)
