"""A Gymnasium environment that somebody made, as a batch of one."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from memrl.envs.adapters.checked_env import CheckedEnv
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter


def adapt(env: gymnasium.Env[Any, Any], device: torch.device | str = "cpu") -> GymnasiumAdapter:
    """One environment as a `BatchedEnv` of one: tensors, text as tokens, masks from its infos.

    Args:
        env: any Gymnasium environment; from now on the adapter resets it.
        device: of observations and actions.

    Raises:
        ValueError: a space that no tensor stands for.
    """
    name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    one = SyncVectorEnv(
        [lambda: CheckedEnv(env, name=name, index=0)],
        copy=False,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    return GymnasiumAdapter(one, device=device, name=name)
