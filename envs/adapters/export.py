"""Tensor environments as a Gymnasium ``VectorEnv`` or a single ``Env``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from memrl.envs.trials import Trials
from memrl.envs.wrappers import Previous
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.spaces import MASK, Array, encode_action, export, exported, row


def can_render(env: BatchedEnv) -> bool:
    """Whether the environment can render images."""
    while isinstance(env, Previous | Trials):
        env = env.env
    return type(env).render is not BatchedEnv.render


def checked_render_mode(env: BatchedEnv, render_mode: str | None) -> list[str]:
    """The render modes of an environment.

    Raises:
        ValueError: ``render_mode`` is not one of them.
    """
    modes = ["rgb_array"] if can_render(env) else []
    if render_mode is not None and render_mode not in modes:
        raise ValueError(f"render_mode is {render_mode!r}, allowed: {[None, *modes]}")
    return modes


@final
class TensorVectorEnv(VectorEnv[Any, Any, Any]):
    """A `BatchedEnv` as a Gymnasium vector environment with same-step autoreset.

    An observation space with the single key ``obs`` is unwrapped. By default everything is numpy,
    with float64 rewards. The infos of ended episodes follow Gymnasium: ``final_obs`` (one object
    per environment) and ``final_info`` (the metrics), with the masks ``_final_obs`` and
    ``_final_info``. With ``tensors=True`` nothing leaves the device: observations are dicts of
    tensors, and the infos of every step hold ``final_obs``, ``final_info`` and the masks as
    tensors of all environments.

    Args:
        env: the environments. `step` raises a ValueError if they mark rows as invalid (NEXT_STEP
            autoreset).
        tensors: return tensors instead of numpy arrays. Actions may always be either.
        render_mode: ``rgb_array`` or None.

    Raises:
        ValueError: the environment lacks the render mode.
    """

    def __init__(
        self, env: BatchedEnv, *, tensors: bool = False, render_mode: str | None = None
    ) -> None:
        self.env = env
        self.num_envs = env.num_envs
        self.tensors = tensors
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": checked_render_mode(env, render_mode),
            "render_fps": 10,
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space = exported(env.observation_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.single_action_space = env.action_space
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Start a new episode in every environment; ``options`` cannot select some of them."""
        if isinstance(seed, list):
            raise ValueError("seed is a list, allowed: one int for all environments, or None")
        if options and "reset_mask" in options:
            raise ValueError(
                "options has the key 'reset_mask', allowed: no such key, because the autoreset "
                "mode is SAME_STEP"
            )
        super().reset(seed=seed)
        return self._out(self.env.reset(seed)), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        transition = self.env.step(encode_action(self.env.action_space, actions, self.env.device))
        if transition.valid is not None:
            raise ValueError("the autoreset mode is NEXT_STEP, allowed: SAME_STEP")
        obs = self._out(transition.obs)
        if self.tensors:
            _, reward, terminated, truncated, *_ = transition
            return obs, reward, terminated, truncated, _tensor_info(transition)
        return (
            obs,
            transition.reward.cpu().numpy().astype(np.float64),
            transition.terminated.cpu().numpy().copy(),
            transition.truncated.cpu().numpy().copy(),
            self._info(transition),
        )

    def render(self) -> tuple[Any, ...] | None:
        if self.render_mode is None:
            return None
        return tuple(self.env.render(index) for index in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        self.env.close()

    def _out(self, obs: Obs) -> Any:
        if self.tensors:
            return obs["obs"] if set(obs) == {"obs"} else obs
        return export(self.env.observation_space, obs)

    def _info(self, transition: Transition) -> dict[str, Any]:
        ended = transition.ended.cpu().numpy().copy()
        if not ended.any():
            return {}
        final = self._out(transition.final_obs)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for index in np.flatnonzero(ended).tolist():
            final_obs[index] = row(final, index)
        metrics: dict[str, Any] = {}
        for name, value in transition.metrics.items():
            metrics[name] = np.where(ended, value.cpu().numpy(), np.float32(0))
            metrics[f"_{name}"] = ended.copy()
        return {
            "final_obs": final_obs,
            "_final_obs": ended,
            "final_info": metrics,
            "_final_info": ended.copy(),
        }


def _tensor_info(transition: Transition) -> dict[str, Any]:
    final_obs, ended = transition.final_obs, transition.ended
    return {
        "final_obs": final_obs["obs"] if set(final_obs) == {"obs"} else final_obs,
        "_final_obs": ended,
        "final_info": dict(transition.metrics),
        "_final_info": ended,
    }


@final
class TensorEnv(gymnasium.Env[Any, Any]):
    """A `BatchedEnv` with one environment as a plain Gymnasium ``Env``, which the caller resets.

    The batched environment has already started its next episode when one ends; the next `reset`
    without a seed returns the first observation of that episode. The episodes are therefore the
    same as those of the batched environment. The info of an episode's last step holds the metrics.

    Args:
        env: a batch of one environment.
        render_mode: ``rgb_array`` or None.

    Raises:
        ValueError: ``num_envs`` is not 1, or the environment lacks the render mode.
    """

    def __init__(self, env: BatchedEnv, *, render_mode: str | None = None) -> None:
        if env.num_envs != 1:
            raise ValueError(f"num_envs is {env.num_envs}, allowed: 1")
        self.env = env
        self.render_mode = render_mode
        self.metadata = {"render_modes": checked_render_mode(env, render_mode), "render_fps": 10}
        self.observation_space = exported(env.observation_space)
        self.action_space = env.action_space
        self._obs: Obs | None = None
        self._in_episode = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if self._obs is None or self._in_episode or seed is not None:
            self._obs = self.env.reset(seed)
        obs, self._in_episode = self._obs, True
        return self._out(obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self._in_episode:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset before step")
        batch = encode_action(self.env.action_space, np.asarray(action)[None], self.env.device)
        transition = self.env.step(batch)
        terminated, truncated = bool(transition.terminated), bool(transition.truncated)
        self._obs, self._in_episode = transition.obs, not (terminated or truncated)
        info = {} if self._in_episode else {k: float(v) for k, v in transition.metrics.items()}
        obs = self._out(transition.final_obs)
        return obs, float(transition.reward), terminated, truncated, info

    def render(self) -> Any:
        return None if self.render_mode is None else self.env.render(0)

    def close(self) -> None:
        self.env.close()

    @property
    def action_masks(self) -> Callable[[], Array]:
        """The mask of allowed actions for sb3-contrib's maskable algorithms: bool [A].

        Raises:
            AttributeError: the environment has no action masks; `hasattr` is then False.
        """
        if MASK not in self.env.observation_space.keys():
            raise AttributeError(f"this environment has no {MASK}")
        return self._mask

    def _mask(self) -> Array:
        if self._obs is None:
            raise gymnasium.error.ResetNeeded("call reset before action_masks")
        return self._obs[MASK][0].cpu().numpy().copy()

    def _out(self, obs: Obs) -> Any:
        return row(export(self.env.observation_space, obs), 0)
