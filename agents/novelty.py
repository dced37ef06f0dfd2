"""The novelty bonus that a config asks for, on the part of the observation that was seen."""

from __future__ import annotations

from memrl.agents.config import BonusConfig
from memrl.bonus.first_visit import FirstVisit
from memrl.rollout.env import BatchedEnv

IMAGE = "image"
NOT_SEEN = ("prev_action", "prev_reward", "is_t0", "action_mask")


def make_bonus(env: BatchedEnv, config: BonusConfig) -> FirstVisit | None:
    """None where no bonus is wanted.

    By default an observation is known by its ``image``, as in MiniGrid; without one, by all its
    entries but the previous action and reward, which would make everything new.

    Raises:
        ValueError: ``bonus.key`` is no entry of the observation.
    """
    if config.kind == "none":
        return None
    entries = list(env.observation_space.spaces)
    if config.key is not None and config.key not in entries:
        known = ", ".join(entries)
        raise ValueError(f"bonus.key {config.key!r} is no entry of the observation ({known})")
    if config.key is not None:
        keys = [config.key]
    else:
        keys = [IMAGE] if IMAGE in entries else [key for key in entries if key not in NOT_SEEN]
    return FirstVisit(env.num_envs, env.device, keys=keys, capacity=config.capacity)
