"""Callbacks read and change what is learned from, under SB3's names and shapes."""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, Watch, copies, make_model, parameters
from stable_baselines3.common.callbacks import BaseCallback

from memrl.agents.sb3.evaluation import Masked, masked

PER = 2 * STEPS


class AtEnd(BaseCallback):
    """Calls a function with the rollout buffer when it is full."""

    def __init__(self, look):
        super().__init__()
        self.look = look

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.look(self.model.rollout_buffer)


def test_rewards_changed_by_a_callback_are_learned_from():
    class Doubled(Sampled):
        def step(self, action):
            obs, reward, *rest = super().step(action)
            return (obs, 2 * reward, *rest)

    def double(callback):
        callback.locals["rewards"] *= 2

    changed = make_model().learn(PER, callback=Watch(double))
    wanted = make_model(copies(Doubled)).learn(PER)
    assert parameters(changed).equal(parameters(wanted))
    assert changed.rollout_buffer.rewards[:, 0].tolist() == [2, 4, 6, 8, 10, 2, 4, 6]


@pytest.mark.parametrize("name", ["actions", "values", "log_probs"])
def test_choices_changed_by_a_callback_are_stored(name):
    def change(callback):
        callback.locals[name][:] = 1

    stored = {}

    def look(buffer):
        stored[name] = getattr(buffer, name).copy()

    make_model(double=True).learn(PER, callback=[Watch(change), AtEnd(look)])
    np.testing.assert_allclose(stored[name], 1)


def test_an_episode_that_a_callback_ends_is_ended():
    def end(callback):
        callback.locals["dones"][1] = True

    model = make_model(copies(lambda: Sampled(length=99)), "lstm")
    model.learn(PER, callback=Watch(end))
    assert model.rollout_buffer.episode_starts[:, 1].all()
    assert not model.rollout_buffer.episode_starts[1:, 0].any()


@pytest.mark.parametrize(
    ("obs", "actions", "obs_shape", "action_dim"),
    [
        (BOX, spaces.Discrete(3), (4,), 1),
        (spaces.Discrete(5), spaces.MultiDiscrete([3, 2]), (1,), 2),
        (spaces.Box(0, 255, (3, 40, 36), np.uint8), spaces.Box(-1, 1, (2, 2)), (3, 40, 36), 4),
        (spaces.MultiBinary(4), spaces.MultiBinary(3), (4,), 3),
    ],
    ids=str,
)
def test_the_arrays_have_sb3s_shapes(obs, actions, obs_shape, action_dim):
    seen = []
    note = Watch(lambda callback: seen.append(callback.locals["obs_tensor"].numpy().copy()))
    model = make_model(copies(lambda: Sampled(obs, actions))).learn(PER, callback=note)
    buffer = model.rollout_buffer
    assert buffer.observations.shape == (STEPS, 2, *obs_shape)
    np.testing.assert_array_equal(buffer.observations.reshape(np.shape(seen)), seen)
    assert buffer.actions.shape == (STEPS, 2, action_dim)
    for name in ("rewards", "returns", "advantages", "values", "log_probs", "episode_starts"):
        assert getattr(buffer, name).shape == (STEPS, 2)
    assert (buffer.buffer_size, buffer.n_envs, buffer.full, buffer.size()) == (8, 2, True, 8)


def test_a_dict_observation_is_a_dict_of_arrays():
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    buffer = make_model(copies(lambda: Sampled(space))).learn(PER).rollout_buffer
    assert {key: part.shape for key, part in buffer.observations.items()} == {
        "a": (STEPS, 2, 4),
        "b": (STEPS, 2, 1),
    }


def test_returns_are_advantages_plus_values_in_units_of_reward():
    found = {}

    def look(buffer):
        found.update(r=buffer.returns.copy(), v=buffer.values.copy(), a=buffer.advantages.copy())

    model = make_model(copies(lambda: Sampled(length=99)), double=True)
    model.learn(3 * PER, callback=AtEnd(look))
    np.testing.assert_allclose(found["r"], found["v"] + found["a"])
    assert found["r"].mean() > 10


@pytest.mark.parametrize("name", ["advantages", "returns"])
def test_what_a_callback_writes_at_a_rollouts_end_is_learned_from(name):
    def nothing(buffer):
        pass

    def change(buffer):
        getattr(buffer, name)[0] += 3

    one, other = (make_model().learn(PER, callback=AtEnd(look)) for look in (nothing, change))
    assert not parameters(one).equal(parameters(other))


def test_advantages_can_be_computed_anew_from_changed_rewards():
    def change(buffer):
        buffer.rewards[:] = 0
        buffer.compute_returns_and_advantage(last_values=torch.zeros(2))

    model = make_model(normalize_returns=False, gamma=1.0, gae_lambda=1.0)
    model.learn(PER, callback=AtEnd(change))
    np.testing.assert_allclose(model.rollout_buffer.returns, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["values", "episode_starts"])
def test_a_copy_cannot_be_written_to(name):
    buffer = make_model().learn(PER).rollout_buffer
    with pytest.raises(ValueError, match="read-only"):
        getattr(buffer, name)[0] = 1


def test_a_callback_that_fails_leaves_a_model_that_goes_on():
    def fail(callback):
        raise KeyboardInterrupt

    model = make_model(copies(lambda: Sampled(length=99)), "lstm")
    with pytest.raises(KeyboardInterrupt):
        model.learn(PER, callback=Watch(fail))
    model.learn(PER, reset_num_timesteps=False)
    assert not model.rollout_buffer.start[0].any()


def test_a_callback_may_keep_a_copy_of_the_buffer():
    kept = []
    model = make_model().learn(PER, callback=AtEnd(lambda buffer: kept.append(deepcopy(buffer))))
    rewards = kept[0].rewards.copy()
    model.learn(PER, reset_num_timesteps=False)
    assert np.array_equal(kept[0].rewards, rewards)
    assert kept[0].size() == STEPS


def test_a_model_that_obeys_masks_can_be_copied():
    class Choosy(Sampled):
        def action_masks(self):
            return np.ones(3, bool)

    model = masked(make_model(), copies(Choosy))
    assert isinstance(model, Masked)
    assert copy(model).num_timesteps == 0
