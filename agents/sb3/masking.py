"""Whether action masks are obeyed: ``use_masking``, as in sb3-contrib's MaskablePPO."""

from __future__ import annotations

from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from memrl.rollout.masks import MASK_METHOD
from memrl.rollout.spaces import MASK


def obeys_masks(env: VecEnv, use_masking: bool | None) -> bool:
    """Whether the masks of ``env`` are obeyed; None: if there are any.

    Raises:
        ValueError: ``use_masking`` is True, and the environments have no masks.
    """
    space = env.observation_space
    inside = isinstance(space, spaces.Dict) and MASK in space.spaces
    if use_masking and not inside and not env.has_attr(MASK_METHOD):
        raise ValueError(
            "use_masking=True with environments without a method action_masks, allowed: None, "
            "False, or sb3-contrib's wrapper ActionMasker around each environment"
        )
    return use_masking is not False
