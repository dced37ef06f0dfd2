"""Tensor environments as a Stable-Baselines3 ``VecEnv``; importing this file imports SB3."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast, final

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)
from torch import Tensor

from memrl.envs.adapters.export import checked_render_mode
from memrl.rollout.env import BatchedEnv, Obs
from memrl.rollout.spaces import MASK, Array, encode_action, export, exported, row


@final
class TensorVecEnv(VecEnv):
    """A `BatchedEnv` as an SB3 ``VecEnv``; wrap it in ``VecMonitor`` for episode statistics.

    Infos hold ``TimeLimit.truncated`` at every step. At an episode's last step they also hold
    ``terminal_observation``, the metrics, and ``is_success`` if the task has a success. With
    action masks, ``env_method("action_masks")`` returns bool [A] for each environment, as
    sb3-contrib expects. The environments are rows of one object: `set_attr` sets an attribute for
    all of them.

    Args:
        env: the environments. `step` raises a ValueError if they mark rows as invalid (NEXT_STEP
            autoreset).
        render_mode: ``rgb_array`` or None.
        flatten_grids: return uint8 grids smaller than 36 × 36 cells (MiniGrid's view) as vectors.
            SB3's own policies treat every uint8 grid as an image and fail on such small ones.

    Raises:
        ValueError: the environment lacks the render mode.
    """

    def __init__(
        self, env: BatchedEnv, *, render_mode: str | None = None, flatten_grids: bool = False
    ) -> None:
        checked_render_mode(env, render_mode)
        self.env = env
        self._render_mode = render_mode
        self._obs: Obs = {}
        self._actions: Any = None
        self._flattened = {
            key: spaces.Box(part.low.reshape(-1), part.high.reshape(-1), dtype=np.uint8)
            for key, part in env.observation_space.items()
            if flatten_grids and _too_small_for_sb3(part) and isinstance(part, spaces.Box)
        }
        entries = {**env.observation_space.spaces, **self._flattened}
        super().__init__(env.num_envs, exported(entries), env.action_space)

    def reset(self) -> VecEnvObs:
        self._obs = self.env.reset(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return cast("VecEnvObs", self._out(self._obs))

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        batch = encode_action(self.env.action_space, self._actions, self.env.device)
        transition = self.env.step(batch)
        if transition.valid is not None:
            raise ValueError("the autoreset mode is NEXT_STEP, allowed: SAME_STEP")
        self._obs = transition.obs
        ended, reward = _array(transition.ended), _array(transition.reward)
        timed_out = _array(transition.truncated & ~transition.terminated)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(late)} for late in timed_out]
        if ended.any():
            final_obs = self._out(transition.final_obs)
            metrics = {name: _array(value) for name, value in transition.metrics.items()}
            for index in np.flatnonzero(ended).tolist():
                infos[index]["terminal_observation"] = row(final_obs, index)
                infos[index] |= {name: float(value[index]) for name, value in metrics.items()}
                if "success" in metrics and not np.isnan(metrics["success"][index]):
                    infos[index]["is_success"] = float(metrics["success"][index])
        return self._out(self._obs), reward, ended, infos

    def close(self) -> None:
        self.env.close()

    def get_images(self) -> Sequence[Array | None]:
        return [self.env.render(index) for index in range(self.num_envs)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        chosen = list(self._get_indices(indices))
        if attr_name == "render_mode":
            return [self._render_mode for _ in chosen]
        if attr_name == "action_masks":
            self._require_masks()
            return [partial(self._mask, index) for index in chosen]
        return [getattr(self.env, attr_name) for _ in chosen]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(
                f"set_attr({attr_name!r}) has the indices {indices}, allowed: all environments, "
                "because they share one object"
            )
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        chosen = list(self._get_indices(indices))
        if method_name == "action_masks":
            self._require_masks()
            return [self._mask(index) for index in chosen]
        if method_name == "render":
            return [self.env.render(index) for index in chosen]
        raise AttributeError(f"env_method is {method_name!r}, allowed: action_masks, render")

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _require_masks(self) -> None:
        if MASK not in self.env.observation_space.keys():
            raise AttributeError(f"this environment has no {MASK}")

    def _mask(self, index: int) -> Array:
        if not self._obs:
            raise RuntimeError("call reset before action_masks")
        return _array(self._obs[MASK][index])

    def _out(self, obs: Obs) -> Any:
        flat = {key: obs[key].flatten(1) for key in self._flattened}
        return export({**self.env.observation_space.spaces, **self._flattened}, {**obs, **flat})


def _too_small_for_sb3(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and min(shape[:2]) < 36


def _array(tensor: Tensor) -> Array:
    """A new numpy array, because environments may keep the tensor."""
    return tensor.cpu().numpy().copy()
