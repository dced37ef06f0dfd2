"""Stable-Baselines3's wrappers, and environments of this project seen through it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import (
    BOX,
    KINDS,
    MEMORIES,
    STEPS,
    Sampled,
    copies,
    make_model,
    options,
    parameters,
)
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)
from suites import slow_but

from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.make import TENSOR_FAMILIES, make
from memrl.envs.minigrid.families import FAMILIES
from memrl.envs.registration import exported_id

PER = 2 * STEPS
PROBES = ["probe/Recall-v0", "probe/Pixels-v0", "probe/Masked-v0", "probe/OneStep-v0"]
GRIDS = [ids[0] for ids in FAMILIES.values()]  # of MiniGrid, one of each kind
OTHERS = [id for name, family in TENSOR_FAMILIES.items() for id in family.ids if name != "minigrid"]
IDS = [exported_id(name) for name in [*OTHERS, *GRIDS]]
FAST_IDS = IDS[: len(OTHERS) + 2]


@pytest.mark.parametrize("memory", MEMORIES)
def test_vec_normalize_gives_what_the_policy_learns_from(memory):
    env = VecNormalize(copies(lambda: Sampled(late=True)), gamma=0.9)
    model = make_model(env, memory).learn(2 * PER)
    assert model.get_vec_normalize_env() is env
    assert env.obs_rms.count > 2 * PER
    rollout = model.rollout_buffer
    np.testing.assert_allclose(rollout.obs["obs"][-1].shape, (2, 4))
    assert float(rollout.reward.max()) < 5  # the raw rewards go up to 5
    assert float(rollout.bootstrap[rollout.truncated].abs().min()) > 0


def test_vec_normalize_within_a_dict():
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    env = VecNormalize(copies(lambda: Sampled(space)), norm_obs_keys=["a"])
    make_model(env).learn(PER)


def test_eval_callback_takes_over_the_statistics_of_vec_normalize():
    train, held_out = VecNormalize(copies()), VecNormalize(copies(), training=False)
    make_model(train).learn(PER, callback=EvalCallback(held_out, eval_freq=8, verbose=0))
    assert np.array_equal(train.obs_rms.mean, held_out.obs_rms.mean)


@pytest.mark.parametrize("memory", MEMORIES)
def test_vec_frame_stack_is_one_longer_observation(memory):
    model = make_model(VecFrameStack(copies(), 3), memory).learn(2 * PER)
    assert model.rollout_buffer.obs["obs"].shape == (STEPS, 2, 12)


def test_vec_monitor_gives_the_statistics():
    env = VecMonitor(DummyVecEnv([Sampled, Sampled]))
    model = make_model(env).learn(2 * PER)
    assert [info["r"] for info in model.ep_info_buffer] == [15] * 6


def test_copies_may_live_in_processes():
    env = SubprocVecEnv([Sampled, Sampled], start_method="fork")
    try:
        far = make_model(env, "ntm").learn(2 * PER)
    finally:
        env.close()
    near = make_model(DummyVecEnv([Sampled, Sampled]), "ntm").learn(2 * PER)
    assert parameters(far).equal(parameters(near))


def test_environments_of_make_vec_env():
    make_model(make_vec_env("CartPole-v1", n_envs=3, seed=1)).learn(3 * STEPS)


@pytest.mark.parametrize(
    ("name", "memory"),
    [(PROBES[0], memory) for memory in sorted(KINDS)] + [(name, "gru") for name in PROBES[1:]],
)
def test_exported_tensor_environments_are_learned_from(name, memory):
    env = VecMonitor(TensorVecEnv(make(name, 3, seed=1)))
    model = make_model(env, memory, batch_size=3 * STEPS).learn(2 * 3 * STEPS)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=5)
    assert np.isfinite(mean)


def made(id):
    few = {"bank_size": 4} if id.removeprefix("memrl/") in GRIDS else {}
    return gymnasium.make(id, **few)


@pytest.mark.filterwarnings("ignore:The minimal resolution for an image")  # of SB3's own policy
@pytest.mark.filterwarnings("ignore:We recommend you to use a symmetric")  # POPGym's torque is ±2
@pytest.mark.parametrize("id", slow_but(FAST_IDS, IDS))
def test_sb3s_checker_passes_on_every_registered_id(id):
    check_env(made(id).unwrapped)


@pytest.mark.parametrize("id", slow_but(FAST_IDS, IDS))
def test_every_registered_id_is_learned_from(id):
    model = make_model(made(id), "lstm").learn(STEPS)
    assert torch.isfinite(parameters(model)).all()


def test_minigrids_view_is_a_grid():
    env = VecMonitor(TensorVecEnv(make("MiniGrid-MemoryS7-v0", 2, seed=0)))
    model = make_model(env, "dnc").learn(PER)
    evaluate_policy(model, env, n_eval_episodes=1)
    assert options("dnc")["slots"] == 3
