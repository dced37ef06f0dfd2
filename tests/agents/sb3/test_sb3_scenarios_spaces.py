"""Spaces as SB3's users write them: subclasses, float64, goals, dicts in processes and stacks."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation
from small_models import BOX, STEPS, Sampled, copies, make_model, parameters
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv, SimpleMultiObsEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecExtractDictObs,
    VecFrameStack,
    VecTransposeImage,
)
from suites import slow

from memrl.agents.sb3 import MemoryPPO

PER = 2 * STEPS
BOX64 = spaces.Box(-1.0, 1.0, (4,), np.float64)
MIXED = spaces.Dict(
    {"img": spaces.Box(0, 255, (1, 36, 36), np.uint8), "vec": BOX, "discrete": spaces.Discrete(4)}
)


class OwnBox(spaces.Box):
    """A subclass, as libraries make them."""


def test_a_subclass_of_a_space_is_learned_from_saved_and_set(tmp_path):
    def env():
        return Sampled(OwnBox(-1, 1, (2,)), OwnBox(-1, 1, (2,)))

    model = make_model(env()).learn(STEPS)
    model.save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", env())
    loaded.set_env(env())
    action, _ = loaded.learn(STEPS).predict(env().reset()[0])
    assert env().action_space.contains(action)


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        slow(BOX, np.float32),
        (BOX, np.float64),
        slow(BOX64, np.float32),
        slow(BOX64, np.float64),
        (spaces.Dict({"a": BOX, "b": BOX64}), np.float64),
    ],
    ids=str,
)
def test_actions_have_the_type_of_their_space(space, dtype):
    env = Sampled(space, spaces.Box(-1, 1, (2,), dtype))
    action, _ = make_model(env).learn(STEPS).predict(env.reset()[0])
    assert action.dtype == dtype


@pytest.mark.parametrize(
    "space", [spaces.MultiBinary((3, 2)), spaces.MultiDiscrete([[2, 3], [4, 2]])], ids=str
)
def test_several_axes_are_observed_and_acted_in(space):
    env = Sampled(space, space)
    model = make_model(env).learn(STEPS)
    action, _ = model.predict(env.reset()[0])
    assert space.contains(action)
    evaluate_policy(model, env, 2, warn=False)


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_one_observation_and_a_batch_are_told_apart(id):
    env, vec = gymnasium.make(id), make_vec_env(id, 2)
    model = make_model(env)
    for given, shape in ((env.reset()[0], ()), (vec.reset(), (2,))):
        action, _ = model.predict(given, episode_start=np.ones(shape or 1, bool))
        assert isinstance(action, np.ndarray)
        assert action.shape == (*shape, *env.action_space.shape)


def test_states_by_number_are_observed():
    taxi = next(name for name in ("Taxi-v3", "Taxi-v4") if name in gymnasium.registry)
    make_model(make_vec_env(taxi, 2, seed=0)).learn(PER)


def test_an_environment_gets_one_monitor():
    for env in (Sampled(), Monitor(Sampled()), "CartPole-v1"):
        (game,) = make_model(env).env.envs
        assert isinstance(game, Monitor)
        assert not isinstance(game.env, Monitor)


def test_goals_are_observed():
    model = make_model(BitFlippingEnv(n_bits=4)).learn(STEPS)
    evaluate_policy(model, model.get_env(), 2)


def test_a_dict_of_one_vector_is_that_vector():
    in_dict = Sampled(spaces.Dict({"vec": BOX}))
    flat = FlattenObservation(Sampled(spaces.Dict({"vec": BOX})))
    one, other = make_model(in_dict, double=True), make_model(flat, double=True)
    obs = np.stack([BOX.sample() for _ in range(9)])
    for _ in range(2):
        start = np.ones(9, bool)
        a, _ = one.predict({"vec": obs}, None, start, deterministic=True)
        b, _ = other.predict(obs, None, start, deterministic=True)
        assert a.tolist() == b.tolist()
        assert parameters(one).equal(parameters(other))
        one.learn(STEPS)
        other.learn(STEPS)


@pytest.mark.parametrize("last", [slow(False), True])
def test_dicts_with_pictures_are_stacked_by_entry(last):
    order = {"vec": None, "img": "last" if last else "first"}
    env = DummyVecEnv(
        [lambda: SimpleMultiObsEnv(random_start=True, discrete_actions=True, channel_last=last)]
    )
    env = VecFrameStack(env, n_stack=3, channels_order=order)
    model = make_model(env).learn(STEPS)
    assert model.policy.net.encoder.parts[0].convolutions[0].in_channels == 3
    action, _ = model.predict(env.reset())
    assert env.action_space.contains(action[0])


@pytest.mark.slow
def test_dicts_with_pictures_cross_processes():
    env = SubprocVecEnv([lambda: Sampled(MIXED)] * 2, start_method="fork")
    try:
        make_model(env).learn(PER)
    finally:
        env.close()


def test_one_entry_of_a_dict_is_observed():
    env = VecExtractDictObs(copies(lambda: Sampled(MIXED)), "vec")
    model = make_model(VecCheckNan(env)).learn(PER)
    assert model.observation_space.shape == (4,)


def test_pictures_may_stay_as_they_are_among_wrappers(tmp_path):
    """Five frames of ten channels before 41 × 40 pixels: the first axis is not the shortest."""
    space = spaces.Box(0, 255, (10, 41, 40), np.uint8)
    env = VecFrameStack(copies(lambda: Sampled(space), B=1), 5, channels_order="first")
    env = VecTransposeImage(env, skip=True)
    model = make_model(env, policy={"encoder_dim": 4}).learn(STEPS)
    obs = env.reset()
    action, _ = model.predict(obs, deterministic=True)
    model.save(tmp_path / "m")
    assert MemoryPPO.load(tmp_path / "m").predict(obs, deterministic=True)[0] == action


@pytest.mark.parametrize("in_dict", [False, True])
def test_a_picture_is_seen_in_either_order_behind_the_transposing_wrapper(in_dict):
    picture = spaces.Box(0, 255, (36, 40, 3), np.uint8)
    space = spaces.Dict({"img": picture}) if in_dict else picture
    model = make_model(VecTransposeImage(copies(lambda: Sampled(space))))
    image = picture.sample()

    def seen(image):
        obs = {"img": image} if in_dict else image
        start = np.ones(len(image) if image.ndim == 4 else 1, bool)
        return model.predict(obs, None, start, deterministic=True)[0].tolist()

    first = np.moveaxis(image, -1, 0)
    assert seen(image) == seen(first)
    assert seen(image[None]) == seen(first[None]) == [seen(image)]
