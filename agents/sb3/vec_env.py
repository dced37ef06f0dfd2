"""Adapts Stable-Baselines3's ``VecEnv`` to `BatchedEnv`, for the collector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from memrl.errors import EnvOutputError
from memrl.rollout import masks
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.masks import MASK_METHOD
from memrl.rollout.spaces import (
    MASK,
    Array,
    Leaf,
    brief_space,
    canonical_action,
    decode_action,
    encode,
    is_channels_first,
    leaves,
)


@final
class VecEnvAdapter(BatchedEnv):
    """The B environments of a ``VecEnv``; SB3's loop resets them and calls `set_obs`.

    Action masks come from the environments' method ``action_masks`` if they have one; unless
    ``obeys_masks``, every mask allows all actions. Continuous actions are clipped to their bounds.

    Raises:
        ValueError: a space has no tensor form.
    """

    exact_resume = True  # the VecEnv itself continues; SB3's loop decides on resets

    def __init__(self, env: VecEnv, device: torch.device) -> None:
        self.env, self.num_envs, self.device = env, env.num_envs, device
        self.converter = ObservationConverter(env.observation_space, device)
        self.action_space = canonical_action(env.action_space)
        entries = dict(self.converter.space.spaces)
        self._adds_masks = MASK not in entries and env.has_attr(MASK_METHOD)
        if self._adds_masks:
            entries[MASK] = spaces.MultiBinary(mask_size(env.action_space))
        self.observation_space = spaces.Dict(entries)
        self.obeys_masks = True
        self._obs: Any = None

    def set_obs(self, obs: Any) -> Obs:
        """Take the observations of SB3's last reset; returns them as tensors."""
        self._obs = obs
        return self._with_mask(self.converter.read(obs))

    def reset(self, seed: int | None = None) -> Obs:
        """The observations of `set_obs`: SB3's loop has already reset, with its own seed."""
        return self._with_mask(self.converter.read(self._obs))

    def step(self, action: Tensor) -> Transition:
        return self.transition(*self.env.step(decode_action(self.env.action_space, action)))

    def transition(
        self, obs: Any, rewards: Array, dones: Array, infos: Sequence[dict[str, Any]]
    ) -> Transition:
        """What ``VecEnv.step`` returned, as tensors."""
        self._obs = obs
        bad = ~np.isfinite(rewards)
        if bad.any():
            index = int(bad.argmax())
            raise EnvOutputError(
                f"the reward of env {index} is {rewards[index]}, allowed: finite numbers"
            )
        tensors = self._with_mask(self.converter.read(obs))
        done = torch.as_tensor(dones, dtype=torch.bool, device=self.device)
        # As in SB3, an episode counts as truncated only if its final observation is there.
        truncated = torch.tensor(
            [bool(i.get("TimeLimit.truncated")) and "terminal_observation" in i for i in infos],
            device=self.device,
        )
        return Transition(
            obs=tensors,
            reward=torch.as_tensor(rewards, dtype=torch.float32, device=self.device),
            terminated=done & ~truncated,
            truncated=done & truncated,
            final_obs=self._final(tensors, dones, infos),
            metrics={},
        )

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        return self.reset()

    def _final(self, obs: Obs, dones: Array, infos: Sequence[dict[str, Any]]) -> Obs:
        """The final observations of episodes that ended; elsewhere the present ones."""
        rows = [int(b) for b in np.flatnonzero(dones) if "terminal_observation" in infos[int(b)]]
        if not rows:
            return obs
        ended = stack([infos[b]["terminal_observation"] for b in rows])
        last = self.converter.read(ended, np.array(rows))
        final = {key: value.clone() for key, value in obs.items()}
        for key, value in last.items():
            final[key][rows] = value
        return final

    def _with_mask(self, obs: Obs) -> Obs:
        if not self.obeys_masks:
            return obs | self._all_allowed()
        if not self._adds_masks:
            return obs
        size = mask_size(self.env.action_space)
        rows = [
            masks.mask_array(mask, size, f"env {index}: {MASK_METHOD} returned a mask")
            for index, mask in enumerate(self.env.env_method(MASK_METHOD))
        ]
        return obs | {MASK: torch.as_tensor(np.stack(rows), device=self.device)}

    def _all_allowed(self) -> Obs:
        """Masks [B, A] that forbid nothing, where observations have masks."""
        space = self.observation_space.spaces.get(MASK)
        if space is None:
            return {}
        shape = (self.num_envs, *(space.shape or ()))
        return {MASK: torch.ones(shape, dtype=torch.bool, device=self.device)}


class ObservationConverter:
    """Converts SB3's NumPy observations, single or batched, to tensors."""

    def __init__(self, space: spaces.Space[Any], device: torch.device) -> None:
        self.given = space
        self.leaves: dict[str, Leaf] = leaves(space)
        self.space = spaces.Dict({key: leaf.space for key, leaf in self.leaves.items()})
        self.device = device

    def read(self, obs: Any, envs: Array | None = None) -> Obs:
        """A batch of observations [B, ...]; pictures [C, H, W] may come as [H, W, C], as in SB3.

        ``envs``: of these environments, for the errors.
        """
        read = {}
        for key, leaf in self.leaves.items():
            given = _as_in_space(leaf, leaf.pick(obs))
            part = torch.as_tensor(encode(leaf, given, f"observation {key!r}", envs))
            read[key] = part.to(self.device, copy=True)
        return read

    def is_single(self, obs: Any) -> bool:
        """Is this one observation rather than a batch?"""
        leaf = next(iter(self.leaves.values()))
        return np.ndim(leaf.pick(obs)) == len(leaf.given.shape or ())


def _as_in_space(leaf: Leaf, values: Any) -> Any:
    """A batch of pictures with their channels in front, if they are there in the space."""
    shape = leaf.given.shape or ()
    if not is_channels_first(leaf.given) or np.shape(values)[1:] != (*shape[1:], shape[0]):
        return values
    return np.moveaxis(values, -1, 1)


def check_arrays(space: spaces.Space[Any]) -> None:
    """Refuse spaces that ``DummyVecEnv`` cannot store, before it fails less clearly.

    Raises:
        ValueError: a space has no tensor form, or is text.
    """
    leaves(space)
    if isinstance(space, spaces.Dict):
        text = [k for k, part in space.items() if part.shape is None and part.dtype is not None]
        others = [key for key in space if key not in text]
        if text:
            raise ValueError(
                f"observation {text[0]!r} is text, which Stable-Baselines3 cannot store; leave it "
                f"out: gymnasium.wrappers.FilterObservation(env, {others})"
            )


def stack(parts: list[Any]) -> Any:
    """Stack single observations into a batch."""
    if isinstance(parts[0], Mapping):
        return {key: stack([part[key] for part in parts]) for key in parts[0]}
    return np.stack([np.asarray(part) for part in parts])


def mask_size(space: spaces.Space[Any]) -> int:
    """The number of entries in a mask of an action space.

    Raises:
        ValueError: masks cannot restrict this action space.
    """
    size = masks.mask_size(space)
    if size is not None:
        return size
    raise ValueError(
        f"the action space is {brief_space(space)}, allowed with action masks: Discrete, "
        "MultiDiscrete, MultiBinary"
    )
