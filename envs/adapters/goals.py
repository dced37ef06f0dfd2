"""Goal environments of Gymnasium: the reward of any goal, for batches of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from torch import Tensor

from memrl.errors import EnvError, EnvOutputError
from memrl.plugins import own_error
from memrl.rollout.spaces import Array, Leaf, decode

GOAL_KEYS: Final = ("observation", "achieved_goal", "desired_goal")
REWARD, TERMINATED = "compute_reward", "compute_terminated"


def has_goals(vector: VectorEnv[Any, Any, Any], entries: Mapping[str, Leaf]) -> bool:
    """Whether environments have the entries and the `compute_reward` of a goal environment."""
    if not set(GOAL_KEYS) <= set(entries):
        return False
    unwrapped = vector.unwrapped
    if isinstance(unwrapped, AsyncVectorEnv):
        return bool(unwrapped.call("has_wrapper_attr", REWARD)[0])
    return _method(_holder(vector), REWARD) is not None


@final
class GoalReward:
    """Reward and termination by achieved and desired goals, as Gymnasium-Robotics defines them.

    ``compute_reward(achieved, desired, info)`` takes N goals at once, [N, ...], with a list of N
    empty infos, and returns N rewards (as Stable-Baselines3's hindsight replay asks for).
    ``compute_terminated`` takes one goal; without it no goal ends an episode. Both are of one
    environment: of vectorization=async, of one more that is made here.

    Args:
        vector: the environments.
        entries: of their observations.
        name: of the task, for errors.
    """

    def __init__(
        self, vector: VectorEnv[Any, Any, Any], entries: Mapping[str, Leaf], name: str
    ) -> None:
        self._name = name
        self._achieved, self._desired = entries["achieved_goal"], entries["desired_goal"]
        env = _holder(vector)
        self._reward = _method(env, REWARD)
        self._terminated = _method(env, TERMINATED)

    def __call__(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        """Reward float32 [*N] and termination bool [*N] of goals [*N, ...].

        Raises:
            EnvOutputError: there is not one number for each goal.
            EnvError: the environment raises an error.
        """
        dims = achieved.dim() - len(self._achieved.space.shape or ())
        batch, device = achieved.shape[:dims], achieved.device
        one, other = (
            decode(leaf, goal.flatten(0, dims - 1) if dims > 1 else goal)
            for leaf, goal in ((self._achieved, achieved), (self._desired, desired))
        )
        assert self._reward is not None
        reward = np.asarray(self._asked(REWARD, self._reward, one, other, [{} for _ in one]))
        if reward.size != len(one) or reward.dtype.kind not in "buif":
            raise EnvOutputError(
                f"{self._name}: {REWARD} returned an array of shape {reward.shape} for {len(one)} "
                f"goals, allowed: ({len(one)},), since hindsight asks for many rewards at once"
            )
        ends = self._ends(one, other)
        return (
            torch.as_tensor(reward.astype(np.float32), device=device).reshape(batch),
            torch.as_tensor(ends, device=device).reshape(batch),
        )

    def _ends(self, achieved: Array, desired: Array) -> Array:
        if self._terminated is None:
            return np.zeros(len(achieved), dtype=bool)
        pairs = zip(achieved, desired, strict=True)
        return np.array([bool(self._asked(TERMINATED, self._terminated, *p, {})) for p in pairs])

    def _asked(self, verb: str, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except Exception as error:
            raise EnvError(f"{self._name}: {verb} raised {own_error(error)}") from error


def _holder(vector: VectorEnv[Any, Any, Any]) -> Any:
    """What has the methods of a goal environment."""
    unwrapped = vector.unwrapped
    if isinstance(unwrapped, SyncVectorEnv):
        return unwrapped.envs[0]
    return unwrapped.env_fns[0]() if isinstance(unwrapped, AsyncVectorEnv) else unwrapped


def _method(holder: Any, name: str) -> Callable[..., Any] | None:
    """A method of an environment, perhaps inside of its wrappers; None if it has no such."""
    if hasattr(holder, "has_wrapper_attr"):
        return holder.get_wrapper_attr(name) if holder.has_wrapper_attr(name) else None
    return getattr(holder, name, None)
