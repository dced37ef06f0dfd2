"""sb3-contrib's RecurrentPPO on a MiniGrid task, set up to run as fast as it can."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

COPIES, STEPS, EPOCHS, BATCH = 16, 128, 4, 512


class Flat(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Image and direction of MiniGrid as one vector; SB3 has no encoder for a 7 × 7 grid."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        image = env.observation_space["image"]  # type: ignore[index]
        self.observation_space = spaces.Box(0.0, 1.0, (int(np.prod(image.shape)) + 4,), np.float32)

    def observation(self, observation: Any) -> Any:
        direction = np.eye(4, dtype=np.float32)[observation["direction"]]
        image = observation["image"].astype(np.float32).ravel() / 10
        return np.clip(np.concatenate([image, direction]), 0.0, 1.0)


def make_peer(env: str, *, hidden_dim: int, steps: int) -> tuple[Callable[[], float], str]:
    """A function that trains the peer for ``steps`` env steps and returns the seconds it took.

    One LSTM serves actor and critic, as in ours.

    Raises:
        ValueError: sb3-contrib is not installed; how to get it is said.
    """
    try:
        contrib = importlib.import_module("sb3_contrib")
    except ImportError:
        raise ValueError("the peer is missing: pip install 'memrl[peer]'") from None
    importlib.import_module("minigrid")
    from_sb3 = importlib.import_module("stable_baselines3.common.vec_env")
    vector = from_sb3.DummyVecEnv([lambda: Flat(gymnasium.make(env)) for _ in range(COPIES)])
    sizes = {
        "lstm_hidden_size": hidden_dim,
        "shared_lstm": True,
        "enable_critic_lstm": False,
        "net_arch": [],
    }
    model = contrib.RecurrentPPO(
        "MlpLstmPolicy",
        vector,
        n_steps=STEPS,
        n_epochs=EPOCHS,
        batch_size=BATCH,
        policy_kwargs=sizes,
        device="cpu",
        seed=0,
    )

    def window() -> float:
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.learn(steps, reset_num_timesteps=False)
        return time.perf_counter() - begin

    version = importlib.import_module("importlib.metadata").version("sb3-contrib")
    name = f"RecurrentPPO of sb3-contrib {version}, {COPIES} copies × {STEPS} steps, batch {BATCH}"
    return window, name
