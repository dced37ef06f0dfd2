"""Environments behind one batched interface: tensor environments, adapters, wrappers, exports.

Importing this package registers the tensor environments with Gymnasium as ``memrl/<name>``. It
imports MiniGrid and Stable-Baselines3 only when they are used.
"""

if __name__ != "memrl.envs":
    raise ImportError(f"import this package as memrl.envs, not as {__name__}")

from memrl.envs.adapters.export import TensorEnv, TensorVectorEnv
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.adapters.trial import Trial
from memrl.envs.make import envs, family_of, make
from memrl.envs.multitask import MultiTask
from memrl.envs.registration import register
from memrl.envs.trials import Trials
from memrl.envs.wrappers import Previous

__all__ = [
    "GymnasiumAdapter",
    "MultiTask",
    "Previous",
    "TensorEnv",
    "TensorVectorEnv",
    "Trial",
    "Trials",
    "envs",
    "family_of",
    "make",
]

register()
