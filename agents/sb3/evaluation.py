"""SB3's evaluation, with the action masks of the environments it plays in."""

from __future__ import annotations

from typing import Any, final

import gymnasium
import numpy as np
from stable_baselines3.common import callbacks
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy as sb3_evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from memrl.agents.sb3.vec_env import MASK_METHOD


def evaluate_policy(
    model: Any, env: gymnasium.Env[Any, Any] | VecEnv, *args: Any, **kwargs: Any
) -> Any:
    """SB3's ``evaluate_policy``; masks of an environment with ``action_masks`` are obeyed.

    Arguments and results are those of ``stable_baselines3.common.evaluation.evaluate_policy``.
    """
    vec = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    return sb3_evaluate_policy(masked(model, vec), vec, *args, **kwargs)


class EvalCallback(callbacks.EvalCallback):
    """SB3's ``EvalCallback``; masks of environments with ``action_masks`` are obeyed."""

    def init_callback(self, model: BaseAlgorithm) -> None:
        """See SB3's ``BaseCallback.init_callback``."""
        super().init_callback(model)
        self.model = masked(model, self.eval_env)


def masked(model: Any, env: VecEnv) -> Any:
    """The model, whose ``predict`` asks the environments for masks if they have any."""
    return Masked(model, env) if env.has_attr(MASK_METHOD) else model


@final
class Masked:
    """A model that acts in certain environments; all but ``predict`` is the model's."""

    def __init__(self, model: Any, env: VecEnv) -> None:
        self._model, self._env = model, env

    def __getattr__(self, name: str) -> Any:
        if "_model" not in self.__dict__:  # while a copy is made
            raise AttributeError(name)
        return getattr(self._model, name)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As the model's, with the masks that the environments have now."""
        masks = np.stack([np.asarray(mask) for mask in self._env.env_method(MASK_METHOD)])
        return self._model.predict(*args, action_masks=masks, **kwargs)
