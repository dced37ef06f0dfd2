"""Environments as users write them, behind SB3's surface."""

from __future__ import annotations

import gymnasium
import numpy as np
import odd_environments  # noqa: F401 (registers its ids)
import pytest
import torch
from small_models import STEPS, Sampled, make_model
from stable_baselines3.common.vec_env import DummyVecEnv

from memrl.agents.sb3.vec_env import ObservationConverter, VecEnvAdapter


class Forbids(Sampled):
    """Answers ``action_masks`` with what it was given."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def action_masks(self):
        return self.mask


class Pays(Sampled):
    """Its third step pays what it was given."""

    def __init__(self, reward):
        super().__init__()
        self.reward = reward

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return (obs, self.reward if self.t == 3 else reward, *rest)


def learn(name):
    return make_model(gymnasium.make(f"odd/{name}-v0")).learn(STEPS)


@pytest.mark.parametrize(
    "name", ["Endless", "SuccessInPercent", "MixedInfos", "ChannelsFirst", "Symbols"]
)
def test_what_is_odd_but_no_fault_trains(name):
    assert learn(name).num_timesteps >= STEPS


@pytest.mark.parametrize(
    ("name", "words"), [("Infinite", r"inf at \[1\]"), ("BeyondFloat32", r"-1e\+300 at \[1, 0\]")]
)
def test_an_observation_that_is_not_finite_is_named(name, words):
    with pytest.raises(ValueError, match=f"observation 'obs' of env 0 is {words}, allowed: finite"):
        learn(name)


def test_symbols_are_counted_from_the_low_of_their_channel():
    env = gymnasium.make("odd/Symbols-v0")
    raw, _ = env.reset(seed=1)
    seen = ObservationConverter(env.observation_space, torch.device("cpu")).read(raw[None])["obs"]
    assert seen.dtype == torch.uint8
    assert seen[0].tolist() == (raw - [0, 3, -1]).tolist()


@pytest.mark.parametrize("reward", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_is_named(reward):
    with pytest.raises(ValueError, match=f"the reward of env 0 is {reward}, allowed: finite"):
        make_model(Pays(reward)).learn(STEPS)


def test_a_list_is_a_mask():
    vector = DummyVecEnv([lambda: Forbids([0, 1, 0])])
    obs = VecEnvAdapter(vector, torch.device("cpu")).set_obs(vector.reset())
    assert obs["action_mask"].tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("mask", "words"),
    [([1, 0], "of 2 entries, allowed: 3"), (["no"] * 3, "allowed: 3 flags"), (None, "None, al")],
)
def test_what_is_no_mask_of_the_actions_is_named(mask, words):
    with pytest.raises(ValueError, match=f"env 0: action_masks returned a mask .*{words}"):
        make_model(Forbids(mask)).learn(STEPS)
