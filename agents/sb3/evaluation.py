"""SB3's evaluation, with the action masks of the environments it plays in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import gymnasium
import numpy as np
from stable_baselines3.common import callbacks
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy as sb3_evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from memrl.agents.sb3.masking import obeys_masks
from memrl.rollout.masks import MASK_METHOD, mask_size
from memrl.rollout.spaces import Array


def evaluate_policy(
    model: Any,
    env: gymnasium.Env[Any, Any] | VecEnv,
    *args: Any,
    use_masking: bool | None = None,
    **kwargs: Any,
) -> Any:
    """SB3's ``evaluate_policy``; masks of an environment with ``action_masks`` are obeyed.

    Arguments and results are those of ``stable_baselines3.common.evaluation.evaluate_policy``.
    ``use_masking`` is sb3-contrib's: False allows all actions.

    Raises:
        ValueError: ``use_masking`` is True, and the environments have no masks.
    """
    vec = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    return sb3_evaluate_policy(masked(model, vec, use_masking), vec, *args, **kwargs)


class EvalCallback(callbacks.EvalCallback):
    """SB3's ``EvalCallback``; masks of environments with ``action_masks`` are obeyed.

    ``use_masking`` is that of `evaluate_policy`.
    """

    def __init__(self, *args: Any, use_masking: bool | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_masking = use_masking

    def init_callback(self, model: BaseAlgorithm) -> None:
        """See SB3's ``BaseCallback.init_callback``."""
        super().init_callback(model)
        self.model = masked(model, self.eval_env, self.use_masking)


def masked(model: Any, env: VecEnv, use_masking: bool | None = None) -> Any:
    """The model, whose ``predict`` obeys the environments' masks, or none at all.

    Raises:
        ValueError: ``use_masking`` is True, and the environments have no masks.
    """
    if obeys_masks(env, use_masking):
        return Masked(model, lambda: _asked(env)) if env.has_attr(MASK_METHOD) else model
    size = mask_size(env.action_space)
    if size is None:  # no mask can restrict such actions
        return model
    return Masked(model, lambda: np.ones((env.num_envs, size), bool))


@final
class Masked:
    """A model that acts in certain environments; all but ``predict`` is the model's."""

    def __init__(self, model: Any, masks: Callable[[], Array]) -> None:
        self._model, self._masks = model, masks

    def __getattr__(self, name: str) -> Any:
        if "_model" not in self.__dict__:  # while a copy is made
            raise AttributeError(name)
        return getattr(self._model, name)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As the model's, with the masks that hold now."""
        return self._model.predict(*args, action_masks=self._masks(), **kwargs)


def _asked(env: VecEnv) -> Array:
    return np.stack([np.asarray(mask) for mask in env.env_method(MASK_METHOD)])
