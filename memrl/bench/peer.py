"""sb3-contrib's RecurrentPPO on a MiniGrid task, in a process of its own.

There it runs as its users run it. What ``memrl`` sets for its own process (how threads wait, how
freed memory is kept) makes the peer faster as well, and is no part of what they install. The
network is the smallest that it offers.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import time
import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

COPIES, STEPS, EPOCHS = 16, 128, 4


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


class Peer:
    """A process that trains the peer, a window of ``steps`` env steps at a time, when told to.

    One LSTM serves actor and critic, as in ours; ``batch`` env steps are a minibatch.

    Raises:
        ValueError: sb3-contrib is not installed (how to get it is said), or no MiniGrid task.
    """

    def __init__(self, env: str, *, hidden_dim: int, steps: int, batch: int) -> None:
        if importlib.util.find_spec("sb3_contrib") is None:
            raise ValueError("the peer is missing: pip install 'memrl[peer]'")
        if not env.startswith("MiniGrid-"):
            raise ValueError(f"the peer is set up for MiniGrid only, env is {env}")
        version = importlib.metadata.version("sb3-contrib")
        self.name = f"RecurrentPPO of sb3-contrib {version}, {COPIES} × {STEPS}, minibatch {batch}"
        self.steps = steps
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, env, str(hidden_dim), str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"},
        )

    def speed(self) -> float:
        """Train one window; env steps per second.

        Raises:
            RuntimeError: the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(self.steps, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with code {self._process.wait()}")
        return self.steps / float(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate("")


def serve(env: str, hidden_dim: int, batch: int) -> None:
    """Read numbers of env steps, train for that many, print the seconds each took."""
    contrib = importlib.import_module("sb3_contrib")
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
        batch_size=batch,
        policy_kwargs=sizes,
        device="cpu",
        seed=0,
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the one who asks, and so this
    for line in sys.stdin:
        begin = time.perf_counter()
        model.learn(int(line), reset_num_timesteps=False)
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
