"""A task that cannot be done without a memory is learned with one."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from memrl.agents.sb3 import MemoryPPO
from memrl.bench.parity_run import run
from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.probes import Recall


class Positions(CartPoleEnv):
    """CartPole that shows positions but no velocities."""

    def __init__(self):
        super().__init__()
        high = self.observation_space.high[[0, 2]]
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)

    def reset(self, **given):
        obs, info = super().reset(**given)
        return obs[[0, 2]], info

    def step(self, action):
        obs, *rest = super().step(action)
        return (obs[[0, 2]], *rest)


@pytest.mark.parametrize(("memory", "floor", "roof"), [("gru", 0.9, 1.1), ("none", 0.0, 0.5)])
def test_a_cue_is_recalled_with_a_memory_only(memory, floor, roof):
    env = VecMonitor(TensorVecEnv(Recall(32, cues=3, delay=0)))
    kwargs = {"memory": memory, "memory_kwargs": {"hidden_dim": 16}, "encoder_dim": 16}
    model = MemoryPPO(
        "MlpPolicy",
        env,
        learning_rate=1e-2,
        n_steps=12,
        batch_size=192,
        n_epochs=4,
        gamma=0.9,
        seed=1,
        device="cpu",
        policy_kwargs=kwargs,
    )
    model.learn(4_608)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=160)
    assert floor <= mean <= roof


@pytest.mark.nightly
@pytest.mark.parametrize(("task", "peer"), [("Identity15", 29.4), ("InvalidAction15", 48.0)])
def test_at_equal_options_an_identity_is_learned_no_slower_than_by_the_peer(task, peer):
    """PPO's best of three seeds, and MaskablePPO's return, of 50 episodes with sampled actions."""
    pytest.importorskip("sb3_contrib", reason="pip install sb3-contrib")
    assert run(task, "none", seed=32, episodes=50)["return"] > peer


@pytest.mark.nightly
@pytest.mark.parametrize(("memory", "floor", "roof"), [("lstm", 450, 500), ("none", 0, 100)])
def test_a_pole_is_balanced_without_velocities(memory, floor, roof):
    """RecurrentPPO's policy by its own words, its options and its floor in sb3-contrib."""

    def make():
        return TimeLimit(Positions(), 500)

    env = VecNormalize(make_vec_env(make, n_envs=8, seed=1), gamma=0.99)
    words = {"memory": memory, "net_arch": {"vf": [64], "pi": []}, "ortho_init": False}
    if memory == "lstm":
        words |= {"lstm_hidden_size": 64, "enable_critic_lstm": True}
    model = MemoryPPO(
        "MlpPolicy",
        env,
        learning_rate=7e-4,
        n_steps=128,
        batch_size=256,
        n_epochs=10,
        gae_lambda=0.98,
        max_grad_norm=1.0,
        seed=1,
        device="cpu",
        policy_kwargs=words,
    )
    model.learn(60_000)
    env.training = env.norm_reward = False
    mean, _ = evaluate_policy(model, env, n_eval_episodes=20)
    assert floor <= mean <= roof
