"""``predict`` is the policy, step by step, with the memory's state in the caller's hands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, MEMORIES, Sampled, copies, make_model
from stable_baselines3.common.callbacks import BaseCallback

from memrl.memory import state as states

T, B = 11, 3
CONTINUOUS = spaces.Box(-9.0, 9.0, (2,), np.float64)  # actions that show any difference


def model_of(memory, **given):
    return make_model(copies(lambda: Sampled(BOX, CONTINUOUS)), memory, double=True, **given)


def observations():
    return np.random.default_rng(5).uniform(-1, 1, (T, B, 4)).astype(np.float32)


def starts():
    """Every row opens its first episode at once; others begin at different times."""
    start = np.zeros((T, B), bool)
    start[0], start[4, 1], start[7, 2], start[8, 2] = True, True, True, True
    return start


def step_by_step(model, obs, start):
    state, actions, kept = None, [], []
    for x, opens in zip(obs, start, strict=True):
        action, state = model.predict(x, state, opens, deterministic=True)
        actions.append(action)
        kept.append(state)
    return np.stack(actions), kept


def close(a, b):
    for x, y in zip(states.leaves(a), states.leaves(b), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("memory", MEMORIES)
def test_step_by_step_is_the_sequence(memory, layers):
    model = model_of(memory, policy={"layers": layers})
    net, obs, start = model.policy.net, observations(), starts()
    actions, kept = step_by_step(model, obs, start)
    seen, opens = {"obs": torch.from_numpy(obs)}, torch.from_numpy(start)
    with torch.no_grad():
        whole = net(seen, net.initial_state(B), opens)
        values = [
            net.step({"obs": x}, before, begin).value
            for x, before, begin in zip(
                seen["obs"], [net.initial_state(B), *kept[:-1]], opens, strict=True
            )
        ]
    np.testing.assert_allclose(actions, whole.actions.mode().numpy(), atol=1e-6)
    torch.testing.assert_close(torch.stack(values), whole.value, rtol=1e-9, atol=1e-9)
    close(kept[-1], whole.state)


@pytest.mark.parametrize("memory", MEMORIES)
def test_logits_step_by_step_are_those_of_the_sequence(memory):
    model = make_model(memory=memory, double=True)
    net, obs, start = model.policy.net, observations(), starts()
    _, kept = step_by_step(model, obs, start)
    with torch.no_grad():
        whole = net(
            {"obs": torch.from_numpy(obs)}, net.initial_state(B), torch.from_numpy(start)
        ).actions.log_probs
        for t, before in enumerate([net.initial_state(B), *kept[:-1]]):
            out = net.step({"obs": torch.from_numpy(obs[t])}, before, torch.from_numpy(start[t]))
            torch.testing.assert_close(out.actions.log_probs, whole[t], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("memory", MEMORIES)
def test_an_episodes_start_resets_the_rows_it_marks_and_no_other(memory):
    model, obs = model_of(memory), observations()
    _, kept = step_by_step(model, obs[:5], starts()[:5])
    some = np.array([False, True, False])
    none, everything = np.zeros(B, bool), np.ones(B, bool)
    goes_on, after = model.predict(obs[5], kept[-1], none, deterministic=True)
    begins, fresh = model.predict(obs[5], kept[-1], everything, deterministic=True)
    mixed, both = model.predict(obs[5], kept[-1], some, deterministic=True)
    np.testing.assert_allclose(mixed, np.where(some[:, None], begins, goes_on), atol=1e-9)
    close(both, states.where(torch.from_numpy(some), fresh, after))
    np.testing.assert_allclose(
        begins, model.predict(obs[5], None, everything, deterministic=True)[0], atol=1e-9
    )
    silent = ("none", "shm")  # shm: at this size its rectified keys and queries are all zero
    assert memory in silent or not np.allclose(begins, goes_on, atol=1e-9)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_single_observation_and_a_batch_of_one_agree(memory):
    model, obs = model_of(memory), observations()[:, :1]
    one = many = None
    for t in range(T):
        opens = np.array([t in (0, 6)])
        a, one = model.predict(obs[t, 0], one, opens, deterministic=True)
        b, many = model.predict(obs[t], many, opens, deterministic=True)
        assert a.shape == (2,)
        assert b.shape == (1, 2)
        np.testing.assert_array_equal(a, b[0])
    close(one, many)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_state_is_a_value_that_predict_does_not_edit(memory):
    model, obs = model_of(memory), observations()
    _, kept = step_by_step(model, obs[:3], starts()[:3])
    before = states.clone(kept[-1])
    first, _ = model.predict(obs[3], kept[-1], np.array([True, False, True]), deterministic=True)
    again, _ = model.predict(obs[3], kept[-1], np.array([True, False, True]), deterministic=True)
    np.testing.assert_array_equal(first, again)
    close(kept[-1], before)


@pytest.mark.parametrize("memory", MEMORIES)
def test_no_start_means_the_episode_goes_on(memory):
    model, obs = model_of(memory), observations()
    _, kept = step_by_step(model, obs[:3], starts()[:3])
    silent, _ = model.predict(obs[3], kept[-1], deterministic=True)
    said, _ = model.predict(obs[3], kept[-1], np.zeros(B, bool), deterministic=True)
    np.testing.assert_array_equal(silent, said)


def test_draws_come_from_the_seed_and_from_nothing_else():
    def draws(seed):
        model = make_model(seed=seed)
        torch.randn(seed)
        start, obs = np.ones(5, bool), np.zeros((5, 4), np.float32)
        return np.stack([model.predict(obs, None, start)[0] for _ in range(9)])

    assert np.array_equal(draws(3), draws(3))
    assert not np.array_equal(draws(3), draws(4))


def test_the_policy_predicts_as_the_model_does():
    model, obs = make_model(), observations()[0]
    start = np.ones(B, bool)
    a, _ = model.predict(obs, None, start, deterministic=True)
    b, _ = model.policy.predict(obs, None, start, deterministic=True)
    assert np.array_equal(a, b)


def test_observations_are_not_edited():
    model, obs = make_model(), observations()[0]
    before = obs.copy()
    model.predict(obs)
    assert np.array_equal(obs, before)


@pytest.mark.parametrize("memory", MEMORIES)
def test_acting_in_between_does_not_touch_training(memory):
    class Peek(BaseCallback):
        def _on_step(self):
            start = np.ones(B, bool)
            self.model.predict(np.zeros((B, 4), np.float32), episode_start=start)
            return True

    watched, alone = make_model(memory=memory), make_model(memory=memory)
    watched.learn(32, callback=Peek())
    alone.learn(32)
    a, b = watched.policy.state_dict(), alone.policy.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
