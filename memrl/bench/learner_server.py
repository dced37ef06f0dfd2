"""The program of a `LearnerProcess`: requests as JSON lines on stdin, answers on stdout.

``{"learn": N}`` trains for N env steps, rounded up to whole rollouts. Its answer has ``env_steps``,
``seconds``, ``train_seconds`` (learning only), ``minibatches`` and ``rollout_bytes``.
``{"evaluate": N}`` plays N episodes; its answer has ``returns``. If the learner cannot be
constructed, the only answer is ``{"error": message}``.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from memrl.agents.sb3 import MemoryPPO
from memrl.bench.learner_process import POSITION_ONLY, LearnerSpec
from memrl.envs.adapters.sb3 import TensorVecEnv
from memrl.envs.make import make


class Flat(gymnasium.ObservationWrapper[Any, Any, Any]):
    """MiniGrid's image and direction as one vector, since SB3 has no encoder for a 7 × 7 grid."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        image = env.observation_space["image"]  # type: ignore[index]
        self.observation_space = spaces.Box(0.0, 1.0, (int(np.prod(image.shape)) + 4,), np.float32)

    def observation(self, observation: Any) -> Any:
        direction = np.eye(4, dtype=np.float32)[observation["direction"]]
        image = observation["image"].astype(np.float32).ravel() / 10
        return np.clip(np.concatenate([image, direction]), 0.0, 1.0)


class PositionOnly(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Cart position and pole angle; the velocities must be remembered from step to step."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation: Any) -> Any:
        return observation[[0, 2]]


def environments(spec: LearnerSpec, num: int) -> VecEnv:
    """``num`` environments of the task; those of ``source="tensor"`` step all at once."""
    if spec.env == POSITION_ONLY:
        return DummyVecEnv([_position_only for _ in range(num)])
    if spec.source == "tensor":
        return TensorVecEnv(make(spec.env, num, "cpu"), flatten_grids=True)
    importlib.import_module("minigrid")
    return DummyVecEnv([partial(_flat, spec.env) for _ in range(num)])


def _position_only() -> gymnasium.Env[Any, Any]:
    return Monitor(PositionOnly(gymnasium.make("CartPole-v1")))


def _flat(env: str) -> gymnasium.Env[Any, Any]:
    return Flat(gymnasium.make(env))


def learner(spec: LearnerSpec) -> Any:
    """The model of ``spec``."""
    env = environments(spec, spec.num)
    inputs = "MultiInput" if isinstance(env.observation_space, spaces.Dict) else "Mlp"
    sizes: dict[str, Any] = {
        "n_steps": spec.n_steps,
        "batch_size": spec.batch_size,
        "n_epochs": spec.n_epochs,
        "learning_rate": spec.learning_rate,
        "seed": spec.seed,
        "device": "cpu",
    }
    if spec.learner == "MemoryPPO":
        width = {"hidden_dim": spec.hidden_dim}
        kwargs: dict[str, Any] = {"memory": spec.memory, "memory_kwargs": width}
        return MemoryPPO(f"{inputs}Policy", env, bptt=spec.bptt, policy_kwargs=kwargs, **sizes)
    contrib = importlib.import_module("sb3_contrib")
    kwargs = {"lstm_hidden_size": spec.hidden_dim}
    if spec.one_memory:
        kwargs |= {"shared_lstm": True, "enable_critic_lstm": False}
    return contrib.RecurrentPPO(f"{inputs}LstmPolicy", env, policy_kwargs=kwargs, **sizes)


def rollout_bytes(buffer: Any) -> int:
    """Bytes of all arrays and tensors in a rollout buffer."""
    seen: dict[int, int] = {}

    def visit(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            seen[value.data_ptr()] = value.nbytes
        elif isinstance(value, np.ndarray):
            seen[id(value)] = value.nbytes
        elif isinstance(value, Mapping):
            visit(list(value.values()))
        elif isinstance(value, list | tuple):
            for part in value:
                visit(part)

    visit(vars(getattr(buffer, "storage", buffer)))
    return sum(seen.values())


class Stopwatch:
    """Adds up the time that calls take."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work, self.seconds, self.calls = work, 0.0, 0

    def __call__(self) -> None:
        begin = time.perf_counter()
        self.work()
        self.seconds += time.perf_counter() - begin
        self.calls += 1


def serve(spec: LearnerSpec) -> None:
    """Answer requests until stdin ends."""
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    try:
        model = learner(spec)
    except (ValueError, gymnasium.error.Error) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    per_update = spec.n_epochs * (spec.num * spec.n_steps // spec.batch_size)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    for line in sys.stdin:
        request = json.loads(line)
        if "evaluate" in request:
            test_env = environments(spec, 1)
            returns, _ = evaluate_policy(
                model, test_env, request["evaluate"], return_episode_rewards=True
            )
            print(json.dumps({"returns": returns}), flush=True)
            continue
        model.train = watch = Stopwatch(type(model).train.__get__(model))
        begin = time.perf_counter()
        before = model.num_timesteps
        model.learn(request["learn"], reset_num_timesteps=False)
        answer = {
            "env_steps": model.num_timesteps - before,
            "seconds": time.perf_counter() - begin,
            "train_seconds": watch.seconds,
            "minibatches": watch.calls * per_update,
            "rollout_bytes": rollout_bytes(model.rollout_buffer),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(LearnerSpec.model_validate_json(sys.argv[1]))
