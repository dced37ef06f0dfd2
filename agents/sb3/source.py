"""Stable-Baselines3's ``VecEnv`` as a `BatchedEnv`, so that the collector can act in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.spaces import MASK, Array, Leaf, canonical_action, decode_action, encode, leaves

MASK_METHOD = "action_masks"  # as sb3-contrib's MaskablePPO asks environments for it


class Answer(NamedTuple):
    """What the environments last answered, as SB3's callbacks know it."""

    obs: Any
    rewards: Array  # [B]
    dones: Array  # bool [B]
    infos: list[dict[str, Any]]


@final
class VecSource(BatchedEnv):
    """B copies behind a ``VecEnv``. SB3's loop resets them and hands what it got to `adopt`.

    Masks of actions come from the copies' method ``action_masks`` where they have one. Continuous
    actions are clipped to their bounds.

    Raises:
        ValueError: a space that no tensor stands for.
    """

    exact_resume = True  # the VecEnv goes on living: whether it begins anew is SB3's loop's to say

    def __init__(self, env: VecEnv, device: torch.device) -> None:
        self.env, self.num_envs, self.device = env, env.num_envs, device
        self.reader = Reader(env.observation_space, device)
        self.action_space = canonical_action(env.action_space)
        kept = dict(self.reader.space.spaces)
        self._asks_masks = MASK not in kept and env.has_attr(MASK_METHOD)
        if self._asks_masks:
            kept[MASK] = spaces.MultiBinary(mask_size(env.action_space))
        self.observation_space = spaces.Dict(kept)
        self.answer = Answer(None, np.zeros(0), np.zeros(0, bool), [])

    def adopt(self, obs: Any) -> Obs:
        """Observations that SB3's loop got from a reset, as tensors."""
        self.answer = self.answer._replace(obs=obs)
        return self._with_mask(self.reader.read(obs))

    def reset(self, seed: int | None = None) -> Obs:
        """The observations that were adopted: SB3's loop has reset already, with its own seed."""
        return self._with_mask(self.reader.read(self.answer.obs))

    def step(self, action: Tensor) -> Transition:
        obs, rewards, dones, infos = self.env.step(decode_action(self.env.action_space, action))
        infos = list(infos)  # a tuple where the copies are processes
        self.answer = Answer(obs, rewards, dones, infos)
        tensors = self._with_mask(self.reader.read(obs))
        done = torch.as_tensor(dones, dtype=torch.bool, device=self.device)
        # Without its last observation there is nothing to bootstrap from, as in SB3.
        late = torch.tensor(
            [bool(i.get("TimeLimit.truncated")) and "terminal_observation" in i for i in infos],
            device=self.device,
        )
        return Transition(
            obs=tensors,
            reward=torch.as_tensor(rewards, dtype=torch.float32, device=self.device),
            terminated=done & ~late,
            truncated=done & late,
            final_obs=self._final(tensors, dones, infos),
            metrics={},
        )

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        return self.reset()

    def _final(self, obs: Obs, dones: Array, infos: list[dict[str, Any]]) -> Obs:
        """The last observations of episodes that ended; elsewhere those in hand."""
        rows = [int(b) for b in np.flatnonzero(dones) if "terminal_observation" in infos[b]]
        if not rows:
            return obs
        last = self.reader.read(stack([infos[b]["terminal_observation"] for b in rows]))
        final = {key: value.clone() for key, value in obs.items()}
        for key, value in last.items():
            final[key][rows] = value
        return final

    def _with_mask(self, obs: Obs) -> Obs:
        if not self._asks_masks:
            return obs
        masks = np.stack([np.asarray(mask) for mask in self.env.env_method(MASK_METHOD)])
        flat = masks.reshape(self.num_envs, -1)
        return obs | {MASK: torch.as_tensor(flat, dtype=torch.bool, device=self.device)}


class Reader:
    """Turns SB3's observations (numpy, single or batched) into tensors; pictures to [H, W, C]."""

    def __init__(self, space: spaces.Space[Any], device: torch.device) -> None:
        self.leaves: dict[str, Leaf] = leaves(space)
        self.turned = {key for key, leaf in self.leaves.items() if _channels_first(leaf.space)}
        self.space = spaces.Dict(
            {
                key: _channels_last(leaf.space) if key in self.turned else leaf.space
                for key, leaf in self.leaves.items()
            }
        )
        self.device = device

    def read(self, obs: Any) -> Obs:
        """A batch of observations [B, ...]."""
        read = {}
        for key, leaf in self.leaves.items():
            part = torch.as_tensor(encode(leaf, leaf.pick(obs), f"observation {key!r}"))
            part = part.movedim(1, -1) if key in self.turned else part
            read[key] = part.to(self.device, copy=True)
        return read

    def is_single(self, obs: Any) -> bool:
        """Is this one observation rather than a batch?"""
        leaf = next(iter(self.leaves.values()))
        return np.ndim(leaf.pick(obs)) == len(leaf.given.shape or ())


def check_arrays(space: spaces.Space[Any]) -> None:
    """Refuse what ``DummyVecEnv`` has no array for, before it fails in words of its own.

    Raises:
        ValueError: a space without a tensor, or text.
    """
    leaves(space)
    if isinstance(space, spaces.Dict):
        text = [k for k, part in space.items() if part.shape is None and part.dtype is not None]
        fine = [key for key in space if key not in text]
        if text:
            raise ValueError(
                f"observation {text[0]!r} is text, for which Stable-Baselines3 has no array; "
                f"leave it out: gymnasium.wrappers.FilterObservation(env, {fine})"
            )


def _channels_first(space: spaces.Space[Any]) -> bool:
    """Is this a picture [C, H, W], as ``VecTransposeImage`` makes them?"""
    shape = space.shape or ()
    return bool(is_image_space(space)) and shape[0] < min(shape[1:])


def _channels_last(space: spaces.Space[Any]) -> spaces.Space[Any]:
    channels, *sides = space.shape or ()
    return spaces.Box(0, 255, (*sides, channels), np.uint8)


def stack(parts: list[Any]) -> Any:
    """Single observations as a batch."""
    if isinstance(parts[0], Mapping):
        return {key: stack([part[key] for part in parts]) for key in parts[0]}
    return np.stack([np.asarray(part) for part in parts])


def mask_size(space: spaces.Space[Any]) -> int:
    """Entries of a mask over an action space.

    Raises:
        ValueError: an action space that masks cannot restrict.
    """
    match space:
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return int(space.nvec.sum())
        case spaces.MultiBinary():
            return 2 * int(np.prod(space.shape))
    raise ValueError(f"action masks restrict choices between actions, which {space} has not")
