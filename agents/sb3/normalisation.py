"""Save and restore the statistics of a ``VecNormalize``."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize

OPTIONS = (
    *("training", "norm_obs", "norm_reward", "clip_obs", "clip_reward"),
    *("gamma", "epsilon", "norm_obs_keys"),
)


def statistics(env: VecNormalize) -> dict[str, Any]:
    """The options and running statistics of a ``VecNormalize`` as a tree of plain values."""
    tree: dict[str, Any] = {name: getattr(env, name) for name in OPTIONS}
    tree["returns"], tree["ret_rms"] = env.returns, _moments(env.ret_rms)
    if env.norm_obs:
        rms = env.obs_rms
        by_key = rms if isinstance(rms, dict) else {"": rms}
        tree["obs_rms"] = {key: _moments(each) for key, each in by_key.items()}
    return tree


def restore(env: VecNormalize, tree: dict[str, Any]) -> None:
    """Continue from ``statistics``.

    Raises:
        ValueError: the statistics belong to other observations.
    """
    _load_moments(env.ret_rms, tree["ret_rms"])
    if len(tree["returns"]) == env.num_envs:
        env.returns = tree["returns"].copy()
    if env.norm_obs and tree["norm_obs"]:
        own = env.obs_rms if isinstance(env.obs_rms, dict) else {"": env.obs_rms}
        saved = tree["obs_rms"]
        if own.keys() != saved.keys():
            raise ValueError(
                f"VecNormalize normalises {sorted(own)} here, allowed: {sorted(saved)}, as in "
                "the file"
            )
        for key, moments in saved.items():
            _load_moments(own[key], moments)


def with_statistics(env: VecEnv, tree: dict[str, Any]) -> VecEnv:
    """``env`` with these statistics; wrapped in a ``VecNormalize`` if it has none.

    Raises:
        ValueError: the statistics belong to other observations.
    """
    own = unwrap_vec_normalize(env)
    if own is None:
        env = own = VecNormalize(env, **{name: tree[name] for name in OPTIONS})
    restore(own, tree)
    return env


def _moments(rms: RunningMeanStd) -> dict[str, Any]:
    return {"mean": np.asarray(rms.mean), "var": np.asarray(rms.var), "count": rms.count}


def _load_moments(rms: RunningMeanStd, moments: dict[str, Any]) -> None:
    if np.shape(rms.mean) != moments["mean"].shape:
        raise ValueError(
            f"VecNormalize has statistics of shape {np.shape(rms.mean)} here, allowed: "
            f"{moments['mean'].shape}, as in the file"
        )
    rms.mean, rms.var, rms.count = moments["mean"].copy(), moments["var"].copy(), moments["count"]
