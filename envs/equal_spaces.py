"""Whether two environments show and take the same: what one agent needs to act in both."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from memrl.checkpoint.spaces import space_to_data
from memrl.rollout.env import BatchedEnv
from memrl.rollout.spaces import brief_space


def refuse_other_spaces(what: str, there: BatchedEnv, here: BatchedEnv) -> None:
    """Refuse an environment with other observations or actions than the one ``here``.

    Args:
        what: has the environment ``there``, for the message.
        there: the environment to compare.
        here: the environment that it must be like.

    Raises:
        ValueError: they differ; the message names the entries.
    """
    one, two = there.observation_space, here.observation_space
    differing = [
        f"{key} is {_entry(one, key)} there, {_entry(two, key)} here"
        for key in sorted({*one.spaces, *two.spaces})
        if not _same(one.spaces.get(key), two.spaces.get(key))
    ]
    if differing:
        raise ValueError(f"{what} has other observations: {'; '.join(differing)}")
    if not _same(there.action_space, here.action_space):
        raise ValueError(
            f"{what} has other actions: {brief_space(there.action_space)} there, "
            f"{brief_space(here.action_space)} here"
        )


def _same(one: spaces.Space[Any] | None, two: spaces.Space[Any] | None) -> bool:
    return one is not None and two is not None and space_to_data(one) == space_to_data(two)


def _entry(space: spaces.Dict, key: str) -> str:
    return brief_space(space[key]) if key in space.spaces else "absent"
