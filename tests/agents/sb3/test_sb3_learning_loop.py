"""Stable-Baselines3's loop: what repeats, what goes on, what begins anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import (
    BOX,
    MEMORIES,
    STEPS,
    Sampled,
    Watch,
    copies,
    logged,
    make_model,
    parameters,
)
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from memrl.errors import EnvOutputError
from memrl.memory import state as states

PER = 2 * STEPS  # env steps of a rollout of two copies


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(states.leaves(a), states.leaves(b), strict=True))


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_same_seed_gives_the_same_parameters_bit_for_bit(memory):
    a, b = (make_model(memory=memory, seed=5).learn(PER) for _ in "ab")
    assert parameters(a).equal(parameters(b))


def test_another_seed_gives_other_parameters():
    a, b = (make_model(seed=seed).learn(PER) for seed in (5, 6))
    assert not parameters(a).equal(parameters(b))


@pytest.mark.parametrize("memory", MEMORIES)
def test_learning_in_two_goes_is_learning_in_one(memory):
    """Neither environments nor the memory's state are reset in between."""
    whole = make_model(copies(lambda: Sampled(length=STEPS + 3)), memory).learn(2 * PER)
    parts = make_model(copies(lambda: Sampled(length=STEPS + 3)), memory).learn(PER)
    parts.learn(PER, reset_num_timesteps=False)
    assert parts.num_timesteps == whole.num_timesteps == 2 * PER
    assert parameters(whole).equal(parameters(parts))
    assert same(whole._collector.state, parts._collector.state)
    assert [e.unwrapped.resets for e in parts.env.envs] == [2, 2]  # 16 steps in episodes of 11


def test_the_state_lives_on_from_rollout_to_rollout():
    model = make_model(copies(lambda: Sampled(length=99)), "lstm").learn(PER)
    before = states.clone(model._collector.state)
    model.learn(PER, reset_num_timesteps=False)
    first = states.map_state(lambda kept: kept[0], model.rollout_buffer.states)
    assert same(first, before)
    assert not model.rollout_buffer.start.any()
    assert all(bool(leaf.any()) for leaf in states.leaves(before))


def stacked():
    return VecFrameStack(copies(lambda: Sampled(length=99)), 2)


@pytest.mark.parametrize(
    "build", [lambda: copies(lambda: Sampled(length=99)), stacked], ids=["plain", "frame stack"]
)
def test_learning_again_begins_new_episodes_with_an_empty_memory(build):
    model = make_model(build(), "lstm").learn(PER)
    model.learn(PER)
    rollout = model.rollout_buffer
    assert model.num_timesteps == PER
    assert rollout.start[0].all()
    assert not rollout.start[1:].any()
    assert not any(bool(leaf[0].any()) for leaf in states.leaves(rollout.states))


def test_a_reset_that_reuses_its_array_is_noticed():
    class Reusing(DummyVecEnv):
        def _obs_from_buf(self):
            return self.buf_obs[None]

    model = make_model(Reusing([lambda: Sampled(length=99)] * 1), "lstm").learn(STEPS)
    model.learn(STEPS)
    assert model.rollout_buffer.start[0].all()


def test_another_environment_is_begun_anew_and_learned_from():
    model = make_model(copies(lambda: Sampled(length=99)), "lstm").learn(PER)
    other = copies(lambda: Sampled(length=4))
    before = parameters(model)
    model.set_env(other)
    assert model.get_env() is other
    model.learn(PER, reset_num_timesteps=False)
    assert model.num_timesteps == 2 * PER
    assert model.rollout_buffer.start[0].all()
    assert model.rollout_buffer.start[4].all()
    assert not before.equal(parameters(model))


def test_the_same_environment_set_again_is_begun_anew():
    model = make_model(copies(lambda: Sampled(length=99)), "lstm").learn(PER)
    model.set_env(model.get_env())
    model.learn(PER, reset_num_timesteps=False)
    assert model.rollout_buffer.start[0].all()


def test_an_environment_with_another_number_of_copies_or_other_spaces_is_refused():
    model = make_model()
    with pytest.raises(ValueError, match=r"env has 3 environments, allowed: 2"):
        model.set_env(copies(B=3))
    with pytest.raises(ValueError, match="the observation_space of env is"):
        model.set_env(copies(lambda: Sampled(spaces.Discrete(3))))
    with pytest.raises(ValueError, match="the action_space of env is"):
        model.set_env(copies(lambda: Sampled(BOX, spaces.Discrete(4))))


def test_spaces_with_many_bounds_are_told_in_one_line():
    bounds = np.arange(1, 301, dtype=np.float32)
    model = make_model(copies(lambda: Sampled(spaces.Box(-bounds, bounds))))
    with pytest.raises(ValueError, match=r"is Box\(-301.*, allowed: Box\(-300") as told:
        model.set_env(copies(lambda: Sampled(spaces.Box(-bounds - 1, bounds + 1))))
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 200


def test_a_rollout_is_finished_even_beyond_the_total():
    assert make_model().learn(PER + 1).num_timesteps == 2 * PER


def test_a_stop_in_mid_rollout_can_be_gone_on_from():
    model = make_model(copies(lambda: Sampled(length=99)), "lstm")
    model.learn(PER, callback=Watch(lambda callback: callback.n_calls < 3))
    assert model.num_timesteps == 2 * 3
    kept = states.clone(model._collector.state)
    model.learn(PER, reset_num_timesteps=False)
    first = states.map_state(lambda leaf: leaf[0], model.rollout_buffer.states)
    assert same(first, kept)
    assert not model.rollout_buffer.start[0].any()


def test_the_learning_rate_follows_its_function_of_the_remaining_progress():
    model = make_model(learning_rate=lambda left: left * 1e-3, clip_range=lambda left: 0.1 + left)
    used = []
    improve = model.learner.improve

    def spy(rollout, rates):
        averages = improve(rollout, rates)
        used.append((rates, {group["lr"] for group in model.learner.optimizer.param_groups}))
        return averages

    model.learner.improve = spy
    model.learn(4 * PER)
    left = [0.75, 0.5, 0.25, 0.0]
    np.testing.assert_allclose([rates.clip for rates, _ in used], [0.1 + x for x in left])
    np.testing.assert_allclose([list(lrs) for _, lrs in used], [[1e-3 * x] for x in left])
    assert used[0][0].value_clip is None


def test_a_value_clip_follows_its_function_too():
    model = make_model(clip_range_vf=lambda left: 1 + left)
    rows = logged(model)
    model.learn(2 * PER)
    assert model.learner is not None
    assert rows[-1]["train/clip_range_vf"] == pytest.approx(1.5)


def test_a_learning_rate_may_begin_at_zero():
    model = make_model(learning_rate=lambda left: (1 - left) * 1e-3)
    before = parameters(model)
    assert not before.equal(parameters(model.learn(2 * PER)))


def test_a_target_kl_ends_an_update_early():
    def updates(target):
        model = make_model(learning_rate=0.05, n_epochs=6, target_kl=target)
        return model.learn(PER)._n_updates

    assert updates(None) == 6
    assert updates(1e-9) == 1


def test_the_weight_of_the_value_loss_is_that_of_stable_baselines3():
    """SB3 weighs the mean square, not half of it."""
    assert make_model(vf_coef=0.5).learner.config.value_coef == 1.0


def test_infinite_rewards_stop_learning_before_they_spoil_the_policy():
    class Bad(Sampled):
        def step(self, action):
            return (*super().step(action)[:1], float("inf"), False, False, {})

    model = make_model(copies(Bad))
    before = parameters(model)
    with pytest.raises(EnvOutputError, match="the reward of env 0 is inf, allowed: finite"):
        model.learn(PER)
    assert before.equal(parameters(model))


def test_normalised_observations_move_between_rollouts_only():
    model = make_model(policy={"normalise_obs": True})
    rows = logged(model)
    model.learn(3 * PER)
    norm = model.policy.net.encoder.parts[0].norm
    assert norm.count == 3 * PER
    assert max(row["train/ratio_error"] for row in rows[1:]) < 1e-4


def test_a_model_may_learn_behind_vec_normalize_twice():
    model = make_model(VecNormalize(copies()))
    model.learn(PER)
    model.learn(PER)
    assert model.rollout_buffer.start[0].all()
