"""The program of one run of ``memrl bench parity``: a task, a learner, a seed.

Its only argument is the keyword arguments of `run` as JSON; it prints what `run` returns.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import evaluation
from stable_baselines3.common.envs import (
    IdentityEnv,
    IdentityEnvMultiBinary,
    IdentityEnvMultiDiscrete,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from memrl.agents.sb3 import MemoryPPO, evaluate_policy
from memrl.bench.learner_process import POSITION_ONLY
from memrl.bench.learner_server import PositionOnly
from memrl.bench.parity_course import Course
from memrl.bench.parity_tasks import RECURRENT, TASKS
from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.make import make


def run(task: str, learner: str, seed: int, episodes: int) -> dict[str, Any]:
    """Train, then play with sampled actions: the mean ``return``, and ``seconds`` of training.

    ``course`` is the `Course` of the training.
    """
    torch.set_num_threads(1)
    spec = TASKS[task]
    options = {**spec.options, "seed": seed, "device": "cpu"}
    model = make_learner(learner, make_env(task, spec.num), options)
    course = Course(model)
    begin = time.perf_counter()
    model.learn(spec.total_steps)
    seconds = time.perf_counter() - begin
    test_env = make_env(task, 1)
    test_env.seed(1_000_000 + seed)
    reached, _ = _play(learner)(model, test_env, episodes, deterministic=False)
    row = {"task": task, "learner": learner, "seed": seed}
    return {**row, "return": float(reached), "seconds": seconds, "course": course.series}


def make_env(task: str, num: int) -> VecEnv:
    """``num`` environments of a task."""
    if task.startswith("MiniGrid-"):
        return VecMonitor(TensorVecEnv(make(task, num), flatten_grids=True))
    own: dict[str, Callable[[], Any]] = {
        "Identity15": lambda: IdentityEnv(15),
        "IdentityMultiDiscrete": lambda: IdentityEnvMultiDiscrete(4),
        "IdentityMultiBinary": lambda: IdentityEnvMultiBinary(4),
        "InvalidAction15": _invalid_actions,
        POSITION_ONLY: lambda: PositionOnly(gymnasium.make("CartPole-v1")),
    }
    make_one: Callable[[], Any] = own.get(task, partial(gymnasium.make, task))
    return DummyVecEnv([lambda: Monitor(make_one())] * num)


def _invalid_actions() -> Any:
    contrib = importlib.import_module("sb3_contrib.common.envs")
    return contrib.InvalidActionEnvDiscrete(dim=15, n_invalid_actions=5)


def make_learner(name: str, env: VecEnv, options: dict[str, Any]) -> Any:
    """A peer by the name of its class; MemoryPPO by the name of its memory or its policy."""
    inputs = "MultiInput" if isinstance(env.observation_space, spaces.Dict) else "Mlp"
    if name == "PPO":
        return PPO(f"{inputs}Policy", env, **options)
    if name.endswith("PPO"):
        kind = "LstmPolicy" if name == "RecurrentPPO" else "Policy"
        return getattr(importlib.import_module("sb3_contrib"), name)(inputs + kind, env, **options)
    if name == RECURRENT:
        return MemoryPPO(f"{inputs}LstmPolicy", env, **options)
    return MemoryPPO(f"{inputs}Policy", env, policy_kwargs={"memory": name}, **options)


def _play(learner: str) -> Callable[..., Any]:
    """The evaluation that goes with a learner; those of masked ones ask for masks."""
    if learner == "MaskablePPO":
        maskable = importlib.import_module("sb3_contrib.common.maskable.evaluation")
        return maskable.evaluate_policy  # type: ignore[no-any-return]
    return evaluation.evaluate_policy if learner.endswith("PPO") else evaluate_policy


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(run(**json.loads(sys.argv[1]))))
