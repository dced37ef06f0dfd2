"""What PPO and MaskablePPO learn in the peers' tests, learned within the same steps."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from small_models import Sampled
from stable_baselines3.common import envs
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from suites import nightly, slow

from memrl.agents.sb3 import MemoryPPO, evaluate_policy

IDENTITIES = {
    "discrete": lambda: envs.IdentityEnv(4),
    "multidiscrete": lambda: envs.IdentityEnvMultiDiscrete(4),
    "multibinary": lambda: envs.IdentityEnvMultiBinary(4),
    "box": lambda: envs.IdentityEnvBox(eps=0.5),
}


class Hints(Sampled):
    """An action that repeats the observation pays 1; 15 of the 70 are allowed."""

    def __init__(self):
        super().__init__(spaces.Discrete(70), spaces.Discrete(70), length=100)

    def reset(self, **kwargs):
        self.right, info = super().reset(**kwargs)
        return self.right, info

    def step(self, action):
        right = float(action == self.right)
        self.right, _, *rest = super().step(action)
        return (self.right, right, *rest)

    def action_masks(self):
        mask = np.zeros(70, bool)
        mask[np.random.permutation(70)[:14]] = True
        mask[self.right] = True
        return mask


def returns(model, env):
    return evaluate_policy(model, env, 20, warn=False)[0]


def learner(env, **given):
    """As deep as SB3's ``MlpPolicy``: of two layers of 64, ``none`` is the first."""
    words = {
        **{"features_extractor_class": FlattenExtractor, "net_arch": [64]},
        **{"memory": "none", "memory_kwargs": {"hidden_dim": 64}},
    }
    return MemoryPPO("MlpPolicy", env, policy_kwargs=words, device="cpu", batch_size=64, **given)


@pytest.mark.parametrize(
    "kind", [slow(kind) if kind in ("discrete", "box") else nightly(kind) for kind in IDENTITIES]
)
def test_an_observation_is_repeated(kind):
    env = DummyVecEnv([IDENTITIES[kind]])
    given = {"seed": 0, "learning_rate": 1e-3}
    if kind != "box":
        given = {"seed": 3, "learning_rate": 2e-3, "gamma": 0.4}
    model = learner(env, n_steps=256, n_epochs=4, **given).learn(1000 if kind == "box" else 1200)
    assert returns(model, env) > 90
    obs = env.reset()
    action, _ = model.predict(obs, episode_start=np.ones(1, bool))
    assert action.shape == obs.shape


@pytest.mark.nightly
def test_an_observation_is_repeated_among_many_with_the_help_of_masks():
    env = DummyVecEnv([Hints])
    model = learner(env, gamma=0.4, seed=32, n_steps=2048)
    assert returns(model, env) < 20
    model.learn(3000)
    assert returns(model, env) > 90  # MaskablePPO's floor in sb3-contrib
