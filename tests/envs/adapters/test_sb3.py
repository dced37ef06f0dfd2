"""Tensor environments seen through Stable-Baselines3."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor

from memrl.envs import make
from memrl.envs.adapters.export import TensorEnv
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.probes import Masked, OneStep, Pixels, Recall
from memrl.envs.wrappers import Previous

B = 3


def test_the_last_observation_and_its_reason_are_in_the_infos():
    env, tensors = TensorVecEnv(Masked(B, length=2)), Masked(B, length=2)
    env.seed(4)
    first, want = env.reset(), tensors.reset(4)
    assert np.array_equal(first["obs"], want["obs"].numpy())
    allowed = want["action_mask"].long().argmax(1)
    _, _, done, infos = env.step(allowed.numpy())
    after = tensors.step(allowed)
    assert not done.any()
    assert infos == [{"TimeLimit.truncated": False}] * B
    actions = after.obs["action_mask"].long().argmax(1)
    obs, reward, done, infos = env.step(actions.numpy())
    after = tensors.step(actions)
    assert reward.dtype == np.float32
    assert done.all()
    for copy, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert info["is_success"]
        for key, value in after.final_obs.items():
            np.testing.assert_array_equal(info["terminal_observation"][key], value[copy].numpy())
            np.testing.assert_array_equal(obs[key][copy], after.obs[key][copy].numpy())


def test_termination_is_not_called_a_time_limit():
    env = TensorVecEnv(OneStep(B))
    env.reset()
    *_, infos = env.step(np.zeros(B, dtype=np.int64))
    assert not any(info["TimeLimit.truncated"] for info in infos)


class Partly(Counting):
    """Says how much of it was reached: half, as a number."""

    def step(self, action):
        return (*super().step(action)[:-1], {"is_success": 0.5})


def test_a_success_that_is_a_number_stays_one():
    """As behind SB3's own vector environments, where it is what the environment said."""
    env = TensorVecEnv(GymnasiumAdapter(SyncVectorEnv([Partly], autoreset_mode="SameStep")))
    env.reset()
    done = [False]
    while not done[0]:
        _, _, done, infos = env.step(np.zeros(1, dtype=np.int64))
    assert infos[0]["is_success"] == 0.5


def test_an_unknown_success_is_not_reported():
    env = TensorVecEnv(GymnasiumAdapter(SyncVectorEnv([Quiet], autoreset_mode="SameStep")))
    env.reset()
    done = [False]
    while not done[0]:
        _, _, done, infos = env.step(np.zeros(1, dtype=np.int64))
    assert "is_success" not in infos[0]
    assert np.isnan(infos[0]["success"])


class Quiet(Counting):
    def step(self, action):
        return (*super().step(action)[:-1], {})


def test_a_seed_holds_for_one_reset_only():
    env = TensorVecEnv(Recall(B, cues=997))
    env.seed(1)
    first, second = env.reset(), env.reset()
    env.seed(1)
    assert np.array_equal(env.reset(), first)
    assert not np.array_equal(first, second)


def test_statistics_come_from_vec_monitor():
    env = VecMonitor(TensorVecEnv(OneStep(B)))
    env.reset()
    *_, infos = env.step(np.zeros(B, dtype=np.int64))
    assert all(info["episode"]["l"] == 1 for info in infos)


def test_masks_are_offered_for_each_copy():
    env = TensorVecEnv(Masked(B))
    obs = env.reset()
    assert env.has_attr("action_masks")
    assert np.array_equal(np.stack(env.env_method("action_masks")), obs["action_mask"] == 1)
    assert np.array_equal(env.env_method("action_masks", indices=2)[0], obs["action_mask"][2] == 1)
    assert np.array_equal(env.get_attr("action_masks", [1])[0](), obs["action_mask"][1] == 1)
    assert not TensorVecEnv(Recall(B)).has_attr("action_masks")
    with pytest.raises(AttributeError, match="no action_mask"):
        TensorVecEnv(Recall(B)).env_method("action_masks")


def test_attributes_are_those_of_the_batch():
    env = TensorVecEnv(Recall(B))
    assert env.get_attr("cues", [0, 2]) == [4, 4]
    assert env.get_attr("render_mode") == [None] * B
    env.set_attr("note", "x")
    assert env.get_attr("note") == ["x"] * B
    with pytest.raises(ValueError, match=r"indices \[1\], allowed: all environments"):
        env.set_attr("note", "y", indices=[1])
    with pytest.raises(AttributeError, match="allowed: action_masks, render"):
        env.env_method("jump")
    assert env.env_is_wrapped(Monitor) == [False] * B


def test_pictures_are_tiled():
    env = TensorVecEnv(Pixels(B), render_mode="rgb_array")
    env.reset()
    assert env.render().shape == (128, 128, 3)
    assert env.env_method("render", indices=1)[0].shape == (64, 64, 3)


def test_an_environment_that_resets_in_the_next_step_cannot_be_exported():
    vector = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.NEXT_STEP)
    env = TensorVecEnv(GymnasiumAdapter(vector))
    env.reset()
    with pytest.raises(ValueError, match="is NEXT_STEP, allowed: SAME_STEP"):
        env.step(np.zeros(1, dtype=np.int64))


@pytest.mark.parametrize("build", [Recall, Pixels, Masked, OneStep])
def test_sb3s_checker_passes_on_the_single_environment(build):
    check_env(TensorEnv(build(1)))


@pytest.mark.slow
def test_ppo_learns_through_the_export():
    """One step of context is enough here: SB3's own policy has no memory."""
    env = VecMonitor(TensorVecEnv(Previous(OneStep(32))))
    torch.manual_seed(0)
    options = {"n_steps": 16, "batch_size": 128, "n_epochs": 8, "gamma": 0.0, "seed": 0}
    model = PPO("MultiInputPolicy", env, learning_rate=3e-3, device="cpu", **options)
    model.learn(6 * 512)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=200)
    assert mean > 0.7  # chance is 1/3


def test_minigrids_view_can_be_learned_from_as_a_vector():
    task = make("MiniGrid-MemoryS7-v0", 2, seed=0)
    env = TensorVecEnv(task, flatten_grids=True)
    assert env.observation_space["image"].shape == (7 * 7 * 3,)
    assert env.observation_space.contains({key: part[1] for key, part in env.reset().items()})
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu")
    model.learn(16)
    assert TensorVecEnv(task).observation_space["image"].shape == (7, 7, 3)
    assert TensorVecEnv(Pixels(1), flatten_grids=True).observation_space.shape == (64, 64, 3)


def test_maskable_ppo_never_does_what_is_forbidden():
    env = TensorVecEnv(Masked(8))
    model = MaskablePPO("MultiInputPolicy", env, n_steps=16, batch_size=64, seed=0, device="cpu")
    model.learn(256)
    assert model.rollout_buffer.rewards.min() == 0
