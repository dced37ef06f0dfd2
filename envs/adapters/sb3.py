"""Tensor environments as a Stable-Baselines3 ``VecEnv``. Importing this file imports SB3."""

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
    """A `BatchedEnv` behind SB3's interface; wrap it in ``VecMonitor`` for episode statistics.

    Infos carry ``TimeLimit.truncated`` at every step; at an episode's last step also
    ``terminal_observation``, the metrics, and ``is_success`` where the task has a success. With
    masks, ``env_method("action_masks")`` gives bool [A] for each copy, as sb3-contrib asks for it.
    The copies are rows of one object, so an attribute is set for all of them or not at all.

    Args:
        env: the copies; one that marks rows as invalid (a NEXT_STEP adapter) is refused in `step`.
        render_mode: ``rgb_array`` or None.
        flatten_grids: give uint8 grids smaller than 36 × 36 cells (MiniGrid's view) out as vectors.
            SB3's own policies take every uint8 grid for a picture and fail on such small ones.

    Raises:
        ValueError: a render mode that the environment does not have.
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
        seen = {**env.observation_space.spaces, **self._flattened}
        super().__init__(env.num_envs, exported(seen), env.action_space)

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
            raise ValueError("an environment that resets in the next step cannot be exported")
        self._obs = transition.obs
        ended, reward = _array(transition.ended), _array(transition.reward)
        timed_out = _array(transition.truncated & ~transition.terminated)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(late)} for late in timed_out]
        if ended.any():
            final_obs = self._out(transition.final_obs)
            metrics = {name: _array(value) for name, value in transition.metrics.items()}
            for copy in np.flatnonzero(ended).tolist():
                infos[copy]["terminal_observation"] = row(final_obs, copy)
                infos[copy] |= {name: float(value[copy]) for name, value in metrics.items()}
                if "success" in metrics and not np.isnan(metrics["success"][copy]):
                    infos[copy]["is_success"] = bool(metrics["success"][copy])
        return self._out(self._obs), reward, ended, infos

    def close(self) -> None:
        self.env.close()

    def get_images(self) -> Sequence[Array | None]:
        return [self.env.render(copy) for copy in range(self.num_envs)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        copies = list(self._get_indices(indices))
        if attr_name == "render_mode":
            return [self._render_mode for _ in copies]
        if attr_name == "action_masks":
            self._require_masks()
            return [partial(self._mask, copy) for copy in copies]
        return [getattr(self.env, attr_name) for _ in copies]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(f"{attr_name} can be set for all copies only: they share one object")
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        copies = list(self._get_indices(indices))
        if method_name == "action_masks":
            self._require_masks()
            return [self._mask(copy) for copy in copies]
        if method_name == "render":
            return [self.env.render(copy) for copy in copies]
        raise AttributeError(
            f"copies of a tensor environment have no method {method_name!r} of their own; "
            "allowed: action_masks, render"
        )

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _require_masks(self) -> None:
        if MASK not in self.env.observation_space.keys():
            raise AttributeError(f"this environment has no {MASK}")

    def _mask(self, copy: int) -> Array:
        if not self._obs:
            raise RuntimeError("call reset before action_masks")
        return _array(self._obs[MASK][copy])

    def _out(self, obs: Obs) -> Any:
        flat = {key: obs[key].flatten(1) for key in self._flattened}
        return export({**self.env.observation_space.spaces, **self._flattened}, {**obs, **flat})


def _too_small_for_sb3(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and min(shape[:2]) < 36


def _array(tensor: Tensor) -> Array:
    """A new numpy array, since environments may keep the tensor."""
    return tensor.cpu().numpy().copy()
