"""Tensor environments seen through Gymnasium."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from counting import Counting
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from memrl.envs.adapters.export import TensorEnv, TensorVectorEnv
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.probes import PROBES, Masked, Pixels, Recall
from memrl.envs.wrappers import Previous

B = 5


def test_the_vector_environment_declares_what_gymnasium_asks_for():
    env = TensorVectorEnv(Recall(B))
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.single_observation_space == gymnasium.spaces.Discrete(6)
    assert env.action_space == gymnasium.spaces.MultiDiscrete([4] * B)
    env.action_space.seed(0)
    obs, info = env.reset(seed=1)
    assert info == {}
    for _ in range(9):
        assert env.observation_space.contains(obs)
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert reward.dtype == np.float64
        assert reward.shape == terminated.shape == truncated.shape == (B,)
        assert terminated.dtype == truncated.dtype == np.bool_


def test_a_dict_observation_stays_a_dict_and_a_mask_becomes_int8():
    env = TensorVectorEnv(Masked(B))
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    assert obs["action_mask"].dtype == np.int8


def test_final_observations_and_metrics_arrive_as_gymnasium_lays_them_out():
    env, tensors = TensorVectorEnv(Previous(Recall(B, delay=0))), Previous(Recall(B, delay=0))
    env.reset(seed=2)
    cue = tensors.reset(seed=2)["obs"]
    actions = (cue + torch.tensor([0, 0, 1, 0, 1])) % 4
    assert env.step(actions.numpy())[-1] == {}
    tensors.step(actions)
    *_, info = env.step(actions.numpy())
    want = tensors.step(actions)
    assert info["_final_obs"].tolist() == info["_final_info"].tolist() == [True] * B
    for copy in range(B):
        for key, value in want.final_obs.items():
            np.testing.assert_array_equal(info["final_obs"][copy][key], value[copy].numpy())
    assert info["final_info"]["success"].tolist() == [1, 1, 0, 1, 0]
    assert info["final_info"]["_success"].all()


def test_the_export_of_a_task_is_that_task_when_adapted_again():
    env, back = Previous(Recall(B)), GymnasiumAdapter(TensorVectorEnv(Previous(Recall(B))))
    assert back.observation_space == env.observation_space
    assert back.action_space == env.action_space
    one, two = env.reset(3), back.reset(3)
    for t in range(17):
        assert {k: v.tolist() for k, v in one.items()} == {k: v.tolist() for k, v in two.items()}
        assert all(one[key].dtype == two[key].dtype for key in one)
        action = torch.full((B,), t % 4)
        left, right = env.step(action), back.step(action)
        assert torch.equal(left.reward, right.reward)
        assert torch.equal(left.terminated, right.terminated)
        assert all(torch.equal(left.final_obs[k], right.final_obs[k]) for k in left.final_obs)
        one, two = left.obs, right.obs


def test_tensors_stay_tensors_on_request():
    env, plain = TensorVectorEnv(Recall(B, delay=0), tensors=True), Recall(B, delay=0)
    obs, _ = env.reset(seed=0)
    assert torch.equal(obs, plain.reset(0)["obs"])
    action = torch.arange(B) % 4
    for _ in range(2):
        obs, reward, terminated, _truncated, info = env.step(action)
        want = plain.step(action)
        assert torch.equal(obs, want.obs["obs"])
        assert torch.equal(reward, want.reward)
        assert torch.equal(terminated, want.terminated)
        assert torch.equal(info["final_obs"], want.final_obs["obs"])
        assert torch.equal(info["_final_obs"], want.ended)
        assert torch.equal(info["final_info"]["success"], want.metrics["success"])


def test_arrays_given_out_do_not_change_later():
    env = TensorVectorEnv(Masked(B))
    obs, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in obs.items()}
    for _ in range(9):
        env.step(np.zeros(B, dtype=np.int64))
    assert all((obs[key] == kept[key]).all() for key in obs)


def test_what_cannot_be_reset_so_is_refused():
    env = TensorVectorEnv(Recall(B))
    with pytest.raises(ValueError, match="seed is a list, allowed: one int"):
        env.reset(seed=[1] * B)
    with pytest.raises(ValueError, match="'reset_mask', allowed: no such key"):
        env.reset(options={"reset_mask": np.ones(B, dtype=bool)})


def test_an_environment_that_resets_in_the_next_step_cannot_be_exported():
    vector = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.NEXT_STEP)
    env = TensorVectorEnv(GymnasiumAdapter(vector))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="is NEXT_STEP, allowed: SAME_STEP"):
        env.step(np.zeros(1, dtype=np.int64))


def test_pictures_come_from_tasks_that_draw():
    env = TensorVectorEnv(Previous(Pixels(B)), render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert len(frames) == B
    assert frames[0].shape == (64, 64, 3)
    with pytest.raises(ValueError, match="'rgb_array', allowed"):
        TensorVectorEnv(Recall(B), render_mode="rgb_array")
    assert TensorVectorEnv(Recall(B)).render() is None


# "Not able to test alternative render modes": only an environment made by its id has a spec.
@pytest.mark.filterwarnings("ignore:.*alternative render modes:UserWarning")
@pytest.mark.parametrize("build", PROBES.values())
def test_gymnasiums_checker_passes_on_the_single_environment(build):
    check_env(TensorEnv(build(1)))


def test_a_single_environment_ends_with_its_last_observation_and_must_be_reset():
    env = TensorEnv(Recall(1, delay=0))
    cue, _ = env.reset(seed=0)
    assert env.step(cue)[0] == 5
    obs, reward, terminated, truncated, info = env.step(cue)
    assert (obs, reward, terminated, truncated) == (4, 1.0, True, False)
    assert info == {"success": 1.0}
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(cue)


def test_a_single_environment_walks_through_the_same_episodes_as_the_batched_one():
    batched, env = Recall(1, cues=97, delay=0), TensorEnv(Recall(1, cues=97, delay=0))
    cues, want = [int(env.reset(seed=0)[0])], [int(batched.reset(0)["obs"])]
    for _ in range(9):
        for _ in range(2):
            env.step(0)
            obs = batched.step(torch.zeros(1, dtype=torch.int64)).obs
        cues.append(int(env.reset()[0]))
        want.append(int(obs["obs"]))
    assert cues == want


def test_a_reset_within_an_episode_begins_another_one():
    env = TensorEnv(Recall(1, cues=97))
    env.reset(seed=0)
    assert len({int(env.reset()[0]) for _ in range(9)}) > 5


def test_masks_are_offered_only_where_there_are_any():
    env = TensorEnv(Masked(1))
    obs, _ = env.reset(seed=0)
    assert env.action_masks().tolist() == obs["action_mask"].astype(bool).tolist()
    assert not hasattr(TensorEnv(Recall(1)), "action_masks")


def test_a_single_environment_is_one_copy():
    with pytest.raises(ValueError, match="num_envs is 2, allowed: 1"):
        TensorEnv(Recall(2))
