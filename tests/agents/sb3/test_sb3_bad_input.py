"""What does not fit is refused in one sentence that says what was given and what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, make_model
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv

from memrl.agents.sb3 import MemoryPPO


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"use_sde": True}, "use_sde=True, allowed: False, since gSDE"),
        ({"use_sde": False, "sde_sample_freq": 4}, "sde_sample_freq=4, allowed: -1, since gSDE"),
        ({"rollout_buffer_class": dict}, "rollout_buffer_class and rollout_buffer_kwargs are"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 1}, "batch_size is 1 with normalize_advantage=True, allowed: at least 2"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"n_epochs": 0}, "n_epochs is 0"),
        ({"bptt": 0}, "bptt is 0"),
        ({"bptt": 4, "burn_in": 4}, "burn_in is 4, allowed: 0 to below bptt 4"),
        ({"burn_in": -1}, "burn_in is -1"),
        ({"gamma": 1.5}, "gamma is 1.5"),
        ({"gae_lambda": -0.1}, "gae_lambda is -0.1"),
        ({"ent_coef": -1.0}, "ent_coef is -1.0"),
        ({"vf_coef": -1.0}, "vf_coef is -1.0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm is 0.0"),
        ({"target_kl": 0.0}, "target_kl is 0.0"),
        ({"learning_rate": -1e-3}, "learning_rate is -0.001"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, allowed: finite, at least 0"),
        ({"clip_range": -0.1}, "clip_range is -0.1"),
        ({"clip_range_vf": -1.0}, "clip_range_vf is -1.0"),
        ({"policy": {"memory": "grru"}}, "unknown memory 'grru'; did you mean gru"),
        ({"policy": {"memory_kwargs": {"hidden": 3}}}, "did you mean hidden_dim"),
        ({"policy": {"memory_kwargs": {"hidden_dim": 0}}}, "hidden_dim=0"),
        ({"policy": {"memory_kwargs": {"name": "dnc"}}}, "its name is memory="),
        ({"policy": {"memroy": "gru"}}, "unknown policy option 'memroy'; did you mean memory"),
        ({"policy": {"net_arch": [64]}}, r"net_arch=\[64\] and head_dim=3, allowed: one of"),
        ({"policy": {"net_arch": {"pf": [6]}, "head_dim": None}}, "the key 'pf', allowed: pi, vf"),
        (
            {"policy": {"net_arch": [6.5], "head_dim": None}},
            r"net_arch is \[6.5\]",
        ),
        ({"policy": {"use_expln": True}}, "use_expln=True, allowed: False; gSDE"),
        (
            {"policy": {"lstm_hidden_size": 5}},
            "'lstm_hidden_size', which is the LSTM's",
        ),
        ({"policy": {"shared_lstm": True}}, "shared_lstm=True with enable_critic_lstm=True"),
        ({"policy": {"critic": "none", "enable_critic_lstm": True}}, "two values of critic"),
        ({"policy": {"share_features_extractor": False}}, "critic=shared with two encoders"),
        ({"policy": {"optimizer_kwargs": {"betta": 1}}}, "optimizer_kwargs .* do not fit Adam"),
        ({"policy": {"activation_fn": dict}}, "dict is a class and no activation"),
        ({"policy": {"features_extractor_kwargs": {"a": 1}}}, "without features_extractor_class"),
        ({"policy": {"layers": 0}}, "layers"),
    ],
    ids=str,
)
def test_an_option_that_does_not_fit_is_refused_when_the_model_is_made(given, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        make_model(**given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("LstmPolicy", "the policy 'LstmPolicy' is unknown, allowed: MlpPolicy"),
        (ActorCriticPolicy, "ActorCriticPolicy"),
    ],
)
def test_an_unknown_policy_is_refused(policy, sentence):
    with pytest.raises(ValueError, match=sentence):
        MemoryPPO(policy, copies(), n_steps=8, batch_size=8, device="cpu")


@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
def test_a_dict_needs_the_policy_for_it(policy):
    env = copies(lambda: Sampled(spaces.Dict({"a": BOX})))
    with pytest.raises(ValueError, match="You must use `MultiInputPolicy`"):
        MemoryPPO(policy, env, n_steps=8, batch_size=8, device="cpu")


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (spaces.Tuple([BOX, BOX]), "is a Tuple space, which has no tensor; allowed: Box"),
        (spaces.Sequence(BOX), "is a Sequence space, which has no tensor; allowed: Box"),
        (spaces.Text(5), "nothing is left of the observation space"),
    ],
    ids=str,
)
def test_an_observation_without_a_tensor_is_refused(space, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_model(Sampled(space))


def test_text_beside_other_observations_is_refused_with_the_way_out():
    space = spaces.Dict({"see": BOX, "mission": spaces.Text(5)})
    with pytest.raises(ValueError, match=r"'mission' is text.*FilterObservation.*'see'"):
        make_model(Sampled(space))


def test_a_nested_dict_is_refused():
    space = spaces.Dict({"outer": spaces.Dict({"inner": BOX})})
    with pytest.raises(NotImplementedError, match="Nested observation spaces"):
        make_model(Sampled(space))


@pytest.mark.parametrize("space", [spaces.Tuple([BOX, BOX]), spaces.Text(5)], ids=str)
def test_an_action_without_a_tensor_is_refused(space):
    with pytest.raises(ValueError, match=r"the action space is a (Tuple|Text) space"):
        make_model(Sampled(BOX, space))


def test_unbounded_actions_are_refused():
    with pytest.raises(AssertionError, match="finite lower and upper bound"):
        make_model(Sampled(BOX, spaces.Box(-np.inf, np.inf, (2,))))


def test_a_nan_at_the_end_of_an_episode_names_its_copy():
    class Ending(Sampled):
        def step(self, action):
            obs, *rest = super().step(action)
            return (obs * np.nan if self.length == 3 and self.t == 3 else obs, *rest)

    env = DummyVecEnv([lambda: Ending(length=50), lambda: Ending(length=3)])
    with pytest.raises(ValueError, match="observation 'obs' of env 1 is NaN"):
        make_model(env).learn(2 * STEPS)


def test_a_nan_observation_in_training_names_its_copy():
    class Bad(Sampled):
        def step(self, action):
            obs, *rest = super().step(action)
            return (obs * np.nan if self.t == 3 else obs, *rest)

    with pytest.raises(ValueError, match="observation 'obs' of env 0 is NaN"):
        make_model(Bad()).learn(STEPS)


@pytest.mark.parametrize(
    ("obs", "sentence"),
    [
        (np.full(4, np.nan, np.float32), "is NaN"),
        (np.zeros(3, np.float32), r"shape \(3,\), but its space says \(4,\)"),
        (np.zeros((2, 3), np.float32), r"shape \(3,\), but its space says \(4,\)"),
        (np.zeros((2, 5, 4), np.float32), r"shape \(5, 4\), but its space says \(4,\)"),
        ((np.zeros(4, np.float32), {}), "obs, info = env.reset()"),
        ({"obs": np.zeros(4, np.float32)}, "is of type dict, allowed: one of its space, a Box"),
    ],
    ids=str,
)
def test_predict_refuses_what_is_no_observation(obs, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_model().predict(obs)


@pytest.mark.parametrize(
    ("obs", "sentence"),
    [
        ({"a": np.zeros(4, np.float32)}, "observation has no entry 'b'"),
        ({"a": np.zeros(4, np.float32), "b": 3}, "outside Discrete"),
        (np.zeros(4, np.float32), "is of type ndarray, allowed: one of its space, a Dict"),
    ],
    ids=str,
)
def test_predict_refuses_a_dict_that_lacks_something(obs, sentence):
    model = make_model(copies(lambda: Sampled(spaces.Dict({"a": BOX, "b": spaces.Discrete(3)}))))
    with pytest.raises(ValueError, match=sentence):
        model.predict(obs)


def test_predict_refuses_a_state_of_another_batch():
    model = make_model()
    _, state = model.predict(np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="the state has 3 rows, allowed: 2"):
        model.predict(np.zeros((2, 4), np.float32), state)


def test_predict_refuses_starts_of_another_batch():
    model = make_model()
    with pytest.raises(ValueError, match="episode_start has 3 rows, allowed: 2"):
        model.predict(np.zeros((2, 4), np.float32), episode_start=np.ones(3, bool))


def test_a_refused_observation_leaves_the_model_usable():
    model = make_model()
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.full(4, np.nan, np.float32))
    action, _ = model.predict(np.zeros(4, np.float32))
    assert torch.as_tensor(action).numel() == 1
