"""Pictures reach the encoder with their channels last, whichever way the environment gives them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import MEMORIES, STEPS, Sampled, copies, make_model
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

from memrl.agents.sb3 import MemoryPPO

PICTURE = spaces.Box(0, 255, (36, 36, 3), np.uint8)


def pictures(B=2, space=PICTURE):
    return copies(lambda: Sampled(space), B)


def cnn(env, **given):
    return MemoryPPO(
        "CnnPolicy",
        env,
        n_steps=STEPS,
        batch_size=STEPS,
        n_epochs=1,
        seed=3,
        device="cpu",
        policy_kwargs={"memory": "gru", "memory_kwargs": {"hidden_dim": 5}, "encoder_dim": 7},
        **given,
    )


@pytest.mark.parametrize("memory", MEMORIES)
def test_every_memory_learns_from_pictures(memory):
    model = make_model(pictures(), memory).learn(2 * STEPS)
    evaluate_policy(model, pictures(), n_eval_episodes=2)


@pytest.mark.parametrize("channel_first", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_cnn_policy_takes_either_order(channel_first, channels):
    env = FakeImageEnv(
        screen_height=40, screen_width=36, n_channels=channels, channel_first=channel_first
    )
    model = cnn(env).learn(2 * STEPS)
    action, _ = model.predict(env.reset()[0])
    assert env.action_space.contains(action)


def test_both_orders_are_the_same_picture():
    last, first = cnn(pictures()), cnn(VecTransposeImage(pictures()))
    assert first.observation_space.shape == (3, 36, 36)
    last.env.seed(5)
    first.env.seed(5)
    a, b = last.env.reset(), first.env.reset()
    assert np.array_equal(a, np.moveaxis(b, 1, -1))
    with torch.no_grad():
        x = last.policy.net.encoder(last.policy.converter.read(a))
        y = first.policy.net.encoder(first.policy.converter.read(b))
    assert x.std() > 0
    torch.testing.assert_close(x, y)
    one, _ = last.predict(a[0], deterministic=True)
    other, _ = first.predict(b[0], deterministic=True)
    assert one == other


def test_learning_is_the_same_in_both_orders():
    last, first = cnn(pictures()).learn(32), cnn(VecTransposeImage(pictures())).learn(32)
    a, b = last.policy.state_dict(), first.policy.state_dict()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def test_both_orders_within_a_dict():
    space = spaces.Dict({"eye": PICTURE, "ear": spaces.Discrete(3)})
    for wrap in (lambda env: env, VecTransposeImage):
        model = make_model(wrap(pictures(space=space))).learn(32)
        evaluate_policy(model, wrap(pictures(space=space)), n_eval_episodes=2)


@pytest.mark.parametrize("order", ["first", "last"])
def test_stacked_pictures_stay_pictures(order):
    env = pictures()
    env = VecFrameStack(VecTransposeImage(env) if order == "first" else env, 2)
    model = cnn(env).learn(32)
    assert model.policy.net.encoder.parts[0].convolutions[0].in_channels == 6
