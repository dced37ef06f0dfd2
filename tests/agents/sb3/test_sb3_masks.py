"""Forbidden actions are never taken, in training and in ``predict``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, MEMORIES, STEPS, Sampled, copies, make_model
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor, VecNormalize

from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.probes import Masked

PARTS = {  # action space -> choices of each of its parts
    "discrete": (spaces.Discrete(5), [5]),
    "discrete from two": (spaces.Discrete(5, start=2), [5]),
    "multidiscrete": (spaces.MultiDiscrete([3, 2]), [3, 2]),
    "multibinary": (spaces.MultiBinary(3), [2, 2, 2]),
}


class Forbidding(Sampled):
    """Says before every step what is allowed, and insists on it."""

    def __init__(self, kind="discrete"):
        space, self.parts = PARTS[kind]
        super().__init__(BOX, space, length=3)
        self.rng = np.random.default_rng(7)

    def reset(self, **kwargs):
        self.allowed = self.draw()
        return super().reset(**kwargs)

    def step(self, action):
        zero_based = np.reshape(action, -1) - np.reshape(getattr(self.action_space, "start", 0), -1)
        assert all(part[a] for part, a in zip(self.split(), zero_based, strict=True)), action
        answer = super().step(action)
        self.allowed = self.draw()
        return answer

    def draw(self):
        chosen = [np.eye(n, dtype=bool)[self.rng.integers(n)] for n in self.parts]
        return np.concatenate(chosen) | (self.rng.random(sum(self.parts)) < 0.2)

    def split(self):
        return np.split(self.allowed, np.cumsum(self.parts)[:-1])

    def action_masks(self):
        return self.allowed


@pytest.mark.parametrize("memory", MEMORIES)
def test_training_takes_allowed_actions_only(memory):
    model = make_model(copies(Forbidding, B=3), memory)
    model.learn(2 * 3 * STEPS)
    rollout = model.rollout_buffer
    mask = rollout.obs["action_mask"]
    assert not mask.all()
    assert mask.gather(-1, rollout.action.unsqueeze(-1)).all()


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("wrap", [lambda env: env, VecNormalize, VecMonitor])
def test_training_is_masked_in_every_action_space_and_behind_wrappers(kind, wrap):
    env = DummyVecEnv([lambda: Forbidding(kind)] * 2)
    make_model(wrap(env)).learn(2 * 2 * STEPS)


def test_a_single_environment_is_asked_for_its_masks():
    make_model(Forbidding()).learn(2 * STEPS)


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_takes_masks_as_maskable_ppo_does(kind, deterministic):
    env = copies(lambda: Forbidding(kind), B=3)
    model, obs, state = make_model(env), env.reset(), None
    start = np.ones(3, bool)
    for _ in range(20):  # the environment insists
        masks = np.stack(env.env_method("action_masks"))
        action, state = model.predict(obs, state, start, deterministic, action_masks=masks)
        obs, _, start, _ = env.step(action)


def test_predict_takes_the_mask_of_a_single_observation():
    env = Forbidding()
    model, (obs, _), state = make_model(env), env.reset(), None
    for _ in range(20):
        action, state = model.predict(obs, state, action_masks=env.action_masks())
        obs, _, ended, _, _ = env.step(action)
        if ended:
            obs, _ = env.reset()


def test_predict_without_masks_allows_everything():
    model = make_model(copies(Forbidding))
    obs = np.zeros((200, 4), np.float32)
    with pytest.warns(UserWarning, match="without action_masks.*evaluate_policy and EvalCallback"):
        assert set(model.predict(obs)[0]) == set(range(5))


def test_a_mask_is_obeyed_by_a_model_that_trained_without():
    model = make_model(copies(lambda: Sampled(BOX, spaces.Discrete(5))))
    mask = np.tile([False, True, False, False, True], (50, 1))
    actions, _ = model.predict(np.zeros((50, 4), np.float32), action_masks=mask)
    assert set(actions) == {1, 4}


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_mask_within_the_observation_is_obeyed_everywhere(memory):
    env = VecMonitor(TensorVecEnv(Masked(3)))
    model = make_model(env, memory).learn(3 * STEPS)
    assert not model.rollout_buffer.reward.any()  # a forbidden action costs 1
    for deterministic in (True, False):
        mean, _ = evaluate_policy(model, env, 6, deterministic=deterministic)
        assert mean == 0


def test_a_mask_within_the_observation_needs_no_method():
    space = spaces.Dict({"see": BOX, "action_mask": spaces.MultiBinary(3)})
    model = make_model(copies(lambda: Sampled(space)))
    obs = {"see": np.zeros((50, 4), np.float32), "action_mask": np.tile([0, 1, 0], (50, 1))}
    assert set(model.predict(obs)[0]) == {1}


def test_the_mask_is_no_feature():
    with_mask = make_model(copies(lambda: Forbidding("discrete")))
    without = make_model(copies(lambda: Sampled(BOX, spaces.Discrete(5))))
    a, b = with_mask.policy.state_dict(), without.policy.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_masks_of_continuous_actions_are_refused():
    class Continuous(Sampled):
        def action_masks(self):
            return np.ones(2, bool)

    env = copies(lambda: Continuous(BOX, spaces.Box(-1, 1, (2,), np.float32)))
    with pytest.raises(ValueError, match="allowed with action masks: Discrete"):
        make_model(env)


def test_a_mask_of_another_size_is_refused():
    model = make_model(copies(Forbidding))
    with pytest.raises(ValueError, match=r"action_masks .* 5"):
        model.predict(np.zeros((2, 4), np.float32), action_masks=np.ones((2, 4), bool))


def test_masks_cross_processes():
    env = SubprocVecEnv([Forbidding, Forbidding], start_method="fork")
    try:
        make_model(env).learn(2 * STEPS)
    finally:
        env.close()
