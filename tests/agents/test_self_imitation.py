"""Self-imitation: which episodes are remembered, and what is learned from them."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from small_agents import learn, make_agent

from memrl.agents.ppo.config import BonusConfig, SelfImitationConfig
from memrl.agents.training_metrics import Averages
from memrl.envs.make import make
from memrl.memory.state import leaves, map_state

GAMMA = 0.99


def imitator(memory: str = "gru", options: dict[str, Any] | None = None, **more: Any):
    chosen = {"kind": "episodes", "capacity": 7, "longest": 9, "batch": 5} | (options or {})
    return make_agent(memory, self_imitation=SelfImitationConfig(**chosen), **more)


def collected(agent, rollouts: int = 3):
    """The steps of some rollouts, all of them remembered: arrays [T, B, ...] by name."""
    parts = []
    for _ in range(rollouts):
        agent.collector.collect(agent.rollout)
        agent.imitation.store(agent.rollout)
        r = agent.rollout
        parts.append(
            {"obs." + k: v.clone() for k, v in r.obs.items()}
            | {k: getattr(r, k).clone() for k in ("action", "reward", "value", "bootstrap")}
            | {k: getattr(r, k).clone() for k in ("start", "terminated", "truncated", "valid")}
        )
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def episodes_of(steps, longest):
    """Whole episodes: (last step, row, first step, returns), in the order of their ends."""
    found = []
    for t in range(len(steps["reward"])):
        for b in range(steps["reward"].shape[1]):
            if not (steps["terminated"][t, b] or steps["truncated"][t, b]):
                continue
            first = t
            while not steps["start"][first, b]:
                first -= 1
            cut = steps["truncated"][t, b] and not steps["terminated"][t, b]
            running, returns = float(steps["bootstrap"][t, b]) if cut else 0.0, []
            for i in range(t, first - 1, -1):
                running = float(steps["reward"][i, b]) + GAMMA * running
                returns.insert(0, running)
            if len(returns) <= longest:
                found.append((t, b, first, returns))
    return found


@pytest.mark.parametrize("id", ["probe/Recall-v0", "probe/Masked-v0", "CartPole-v1"])
def test_the_best_whole_episodes_are_kept_across_rollouts(id):
    env = make(id, 3, seed=1, prev_action=True, prev_reward=True)
    longest = 25 if id == "CartPole-v1" else 9
    agent = imitator(env=env, options={"longest": longest})
    steps = collected(agent)
    found = episodes_of(steps, longest)
    assert any(first < 21 <= end for end, _, first, _ in found)  # one lies across two rollouts
    ranked = sorted(range(len(found)), key=lambda i: (-round(found[i][3][0], 5), -i))
    best = agent.imitation.best
    assert len(best) == min(7, len(found))
    for i in ranked[:7]:
        end, b, first, returns = found[i]
        (slot,) = (best.born == i).nonzero().flatten().tolist()
        n = int(best.length[slot])
        assert n == len(returns)
        torch.testing.assert_close(best.arrays["returns"][slot, :n], torch.tensor(returns))
        for name, array in best.arrays.items():
            if name != "returns":
                assert torch.equal(array[slot, :n], steps[name][first : end + 1, b]), name
        gain = (torch.tensor(returns) - steps["value"][first : end + 1, b]).clamp(min=0)
        assert math.isclose(float(best.priority[slot]), float(gain.mean()), abs_tol=1e-5)


def test_an_episode_that_was_cut_off_goes_on_with_the_critics_value():
    agent = imitator(env=make("probe/Masked-v0", 3, seed=1, length=3))
    steps = collected(agent, 1)
    assert steps["truncated"].any()
    assert steps["bootstrap"][steps["truncated"]].all()
    best = agent.imitation.best
    last = best.arrays["returns"].gather(1, (best.length - 1).unsqueeze(1))
    assert (last % 1).any()  # rewards alone are whole numbers


def test_longer_episodes_are_not_kept():
    agent = imitator(options={"longest": 3})  # an episode of Recall has four steps
    collected(agent)
    assert len(agent.imitation.best) == 0
    averages = Averages()
    agent.imitation.improve(averages)
    means = averages.means()
    assert means["self_imitation/episodes"] == 0
    assert means["self_imitation/policy"].isnan()


@pytest.mark.parametrize("memory", ["gru", "dnc"])
def test_the_state_read_anew_is_the_one_while_acting(memory):
    agent = imitator(memory, options={"capacity": 1000})
    agent.collector.collect(agent.rollout)
    agent.imitation.store(agent.rollout)
    best, r = agent.imitation.best, agent.rollout
    taken = best.take(torch.arange(5))
    start = torch.zeros(taken["action"].shape, dtype=torch.bool)
    start[0] = True
    obs = {k.removeprefix("obs."): v for k, v in taken.items() if k.startswith("obs.")}
    with torch.no_grad():
        out = agent.policy(obs, agent.policy.initial_state(5), start)
    ends = (r.terminated | r.truncated).nonzero()[:5]  # in the order in which they were kept
    for i, (t, b) in enumerate(ends.tolist()):
        n = int(best.length[i])
        torch.testing.assert_close(out.value[:n, i], r.value[t - n + 1 : t + 1, b])
        log_prob = out.actions.log_prob(taken["action"])[:n, i]
        torch.testing.assert_close(log_prob, r.log_prob[t - n + 1 : t + 1, b])


def test_imitation_makes_the_best_episodes_likelier():
    agent = imitator(lr=0.01, options={"updates": 60, "value_weight": 0.0})
    collected(agent)
    before = surprise(agent)
    agent.imitation.improve(Averages())
    assert surprise(agent) < 0.8 * before


def surprise(agent) -> float:
    """Mean -log π of the steps of kept episodes that were better than expected."""
    taken = agent.imitation.best.take(torch.arange(7))
    start = torch.zeros(taken["action"].shape, dtype=torch.bool)
    start[0] = True
    obs = {k.removeprefix("obs."): v for k, v in taken.items() if k.startswith("obs.")}
    with torch.no_grad():
        out = agent.policy(obs, agent.policy.initial_state(7), start)
    gain = (taken["returns"] - out.value).clamp(min=0)
    return float((-out.actions.log_prob(taken["action"]) * gain).sum() / gain.sum())


def test_episodes_without_a_gain_change_no_parameter():
    agent = imitator(options={"updates": 1})
    collected(agent)
    best = agent.imitation.best
    best.arrays["returns"].fill_(-100.0)
    best.priority.fill_(1.0)
    drawn = best.sample(5, 0.6, agent.imitation.generator.clone_state())
    before = deepcopy(agent.policy.state_dict())
    agent.imitation.improve(Averages())
    after = agent.policy.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert (best.priority == 0).nonzero().flatten().tolist() == drawn.unique().tolist()


def test_the_bonus_is_no_part_of_what_is_imitated():
    bonus = BonusConfig(kind="first_visit", key="obs", scale=100.0)
    plain, paid = imitator(), imitator(bonus=bonus)
    for agent in (plain, paid):
        collected(agent, 1)
    assert paid.rollout.bonus.any()
    returns = [agent.imitation.best.arrays["returns"] for agent in (plain, paid)]
    assert torch.equal(*returns)


@pytest.mark.parametrize("normalise", [False, True])
def test_a_saved_agent_goes_on_imitating_bit_for_bit(normalise):
    first, second = (imitator(seed=seed, normalise_returns=normalise) for seed in (3, 99))
    learn(first, 2)
    state = deepcopy(first.state_dict())
    kept = deepcopy(state)
    second.load_state_dict(state)
    for a, b in zip(learn(first, 2), learn(second, 2), strict=True):
        assert a["self_imitation/episodes"] == 7
        assert {k: str(v) for k, v in a.items()} == {k: str(v) for k, v in b.items()}
    saved, loaded = (agent.imitation.state_dict() for agent in (first, second))
    torch.testing.assert_close(saved, loaded, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(state, kept, rtol=0, atol=0, equal_nan=True)


def test_without_it_nothing_is_different():
    rows = [learn(make_agent(**options), 1)[0] for options in ({}, {"self_imitation": OFF})]
    assert {k: str(v) for k, v in rows[0].items()} == {k: str(v) for k, v in rows[1].items()}
    assert not any(name.startswith("self_imitation") for name in rows[0])


OFF = SelfImitationConfig(kind="none")


def test_an_option_without_self_imitation_is_refused():
    with pytest.raises(
        ValueError, match=r"agent.self_imitation.batch=3 is not read by .*kind=none"
    ):
        SelfImitationConfig(batch=3)


def test_a_gradient_reaches_the_core_through_a_whole_episode():
    agent = imitator(options={"updates": 1})
    collected(agent)
    before = map_state(torch.clone, tuple(agent.policy.core.parameters()))
    agent.imitation.best.arrays["returns"].fill_(100.0)
    agent.imitation.improve(Averages())
    assert not any(
        torch.equal(a, b)
        for a, b in zip(leaves(before), agent.policy.core.parameters(), strict=True)
    )
