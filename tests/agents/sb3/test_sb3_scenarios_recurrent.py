"""What RecurrentPPO's users do with its policies, done with `MemoryPPO` under the same names."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, parameters
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize
from suites import slow_but
from torch import nn

from memrl.agents.sb3 import MemoryPPO

PICTURE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
SCALED = spaces.Box(0, 255, (1, 36, 36), np.uint8)
SEEN = {
    "MlpLstmPolicy": BOX,
    "CnnLstmPolicy": PICTURE,
    "MultiInputLstmPolicy": spaces.Dict({"obs": BOX}),
}
CRITICS = {
    "own": {},
    "detached": {"shared_lstm": True, "enable_critic_lstm": False},
    "none": {"enable_critic_lstm": False},
    "own, two layers": {"n_lstm_layers": 2},
    "none, two layers": {"enable_critic_lstm": False, "n_lstm_layers": 2},
    "own, two extractors": {"share_features_extractor": False},
    "none, two extractors": {"enable_critic_lstm": False, "share_features_extractor": False},
}
CASES = [(policy, critic) for policy in SEEN for critic in CRITICS]
FAST = {
    ("MlpLstmPolicy", "own, two layers"),
    ("MlpLstmPolicy", "detached"),
    ("CnnLstmPolicy", "own, two extractors"),
    ("MultiInputLstmPolicy", "none"),
}


def recurrent(policy, env, **words):
    sizes = {"n_steps": STEPS, "batch_size": STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    return MemoryPPO(policy, env, policy_kwargs={"lstm_hidden_size": 4} | words, **sizes)


@pytest.mark.parametrize(("policy", "critic"), slow_but(FAST, CASES))
def test_every_policy_learns_with_every_memory_of_the_critic(policy, critic):
    words = dict(CRITICS[critic])
    if policy == "CnnLstmPolicy":
        words["features_extractor_kwargs"] = {"features_dim": 8}
    model = recurrent(policy, copies(lambda: Sampled(SEEN[policy]), B=1), **words)
    before = parameters(model)
    assert not before.equal(parameters(model.learn(2 * STEPS)))
    evaluate_policy(model, model.get_env(), n_eval_episodes=1)


def test_two_extractors_do_not_feed_one_memory():
    words = {"shared_lstm": True, "enable_critic_lstm": False, "share_features_extractor": False}
    with pytest.raises(ValueError, match="critic=detached with two encoders") as refused:
        recurrent("MlpLstmPolicy", copies(), **words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_recurrent_ppos_policy_learns_in_an_environment_named_by_its_id(env):
    assert recurrent("MlpLstmPolicy", env).learn(2 * STEPS).num_timesteps == 2 * STEPS


def test_actions_with_two_axes_are_learned_and_evaluated():
    env = copies(lambda: Sampled(BOX, spaces.Box(-1, 1, (2, 2), np.float32)))
    model = recurrent("MlpLstmPolicy", env).learn(2 * STEPS)
    action, _ = model.predict(env.reset())
    assert action.shape == (2, 2, 2)
    evaluate_policy(model, env, n_eval_episodes=2)


def test_a_width_list_of_none_is_the_default_one(tmp_path):
    usual, none = recurrent("MlpLstmPolicy", copies()), {"net_arch": None, "activation_fn": nn.Tanh}
    model = recurrent("MlpLstmPolicy", copies(), **none)
    assert parameters(model).equal(parameters(usual))
    model.save(tmp_path / "m")
    assert MemoryPPO.load(tmp_path / "m").policy.net_arch == {"pi": [64, 64], "vf": [64, 64]}


@pytest.mark.parametrize("policy", ["CnnLstmPolicy", "CnnPolicy"])
def test_pictures_that_are_scaled_already_are_learned_from(policy):
    """``VecNormalize`` makes floats of them, which SB3's ``NatureCNN`` must be told."""
    env = VecNormalize(copies(lambda: Sampled(SCALED)))
    words = {"normalize_images": False}
    if policy == "CnnLstmPolicy":
        words["features_extractor_kwargs"] = {"features_dim": 8}
    else:
        words |= {"lstm_hidden_size": None, "memory": "gru", "memory_kwargs": {"hidden_dim": 4}}
    assert recurrent(policy, env, **words).learn(2 * STEPS).num_timesteps == 2 * STEPS


def test_a_dict_with_a_scaled_picture_is_learned_from():
    space = spaces.Dict({"img": SCALED, "vec": BOX})
    env = VecNormalize(copies(lambda: Sampled(space)), norm_obs_keys=["img"])
    words = {"normalize_images": False, "features_extractor_kwargs": {"cnn_output_dim": 8}}
    recurrent("MultiInputLstmPolicy", env, **words).learn(2 * STEPS)


def test_floats_that_are_to_be_scaled_as_pictures_are_refused():
    env = VecNormalize(copies(lambda: Sampled(SCALED)))
    with pytest.raises(
        ValueError, match="NatureCNN does not take the observation space"
    ) as refused:
        recurrent("CnnLstmPolicy", env, features_extractor_kwargs={"features_dim": 8})
    assert "\n" not in str(refused.value)
