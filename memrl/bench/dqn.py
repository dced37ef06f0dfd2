"""Stable-Baselines3's DQN with default options, evaluated during training; imports SB3."""

from __future__ import annotations

from typing import Any, final

import gymnasium
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.make import GYMNASIUM, family_of, make


def learn_dqn(
    task: str, seed: int, marks: tuple[int, ...], *, episodes: int, epsilon: float
) -> dict[int, float]:
    """Mean return of ``episodes`` ε-greedy episodes after each number of env steps in ``marks``."""
    env = _environment(task)
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    model = DQN(policy, env, seed=seed, device="cpu")
    evaluations = _EvaluateAt(marks, _environment(task), episodes, epsilon, seed)
    model.learn(marks[-1], callback=evaluations)
    return evaluations.returns


def _environment(task: str) -> VecEnv:
    if family_of(task) == GYMNASIUM:
        return DummyVecEnv([lambda: Monitor(gymnasium.make(task))])
    return VecMonitor(TensorVecEnv(make(task, 1), flatten_grids=True))


@final
class _EvaluateAt(BaseCallback):
    """Evaluates the model at given numbers of env steps."""

    def __init__(
        self, marks: tuple[int, ...], env: VecEnv, episodes: int, epsilon: float, seed: int
    ) -> None:
        super().__init__()
        self.env, self.marks, self.episodes, self.epsilon = env, marks, episodes, epsilon
        self.env.seed(1_000_000 + seed)
        self.returns: dict[int, float] = {}

    def _on_step(self) -> bool:
        if self.num_timesteps in self.marks:
            model: Any = self.model
            rate, model.exploration_rate = model.exploration_rate, self.epsilon
            mean_return, _ = evaluate_policy(model, self.env, self.episodes, deterministic=False)
            assert isinstance(mean_return, float)
            self.returns[self.num_timesteps] = mean_return
            model.exploration_rate = rate
        return True
