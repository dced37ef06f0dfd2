"""Any Gymnasium vector environment as a `BatchedEnv`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, final

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from memrl.envs.adapters.goals import GoalReward, has_goals
from memrl.envs.adapters.infos import SUCCESS, numbers
from memrl.envs.trials import PREV_DONE, RETURNS
from memrl.errors import EnvError, EnvOutputError
from memrl.options import checked_seed
from memrl.plugins import own_error
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.masks import mask_array, mask_size
from memrl.rollout.spaces import (
    MASK,
    Array,
    canonical_action,
    decode_action,
    encode,
    leaves,
)

Arrays: TypeAlias = dict[str, Array]

LARGEST_SEED = 2**31  # many simulators keep a seed in 32 bits with a sign

# Tasks that terminate with a positive reward if and only if the agent succeeded.
REWARD_MEANS_SUCCESS = ("MiniGrid-", "BabyAI-")


@final
class GymnasiumAdapter(BatchedEnv):
    """B Gymnasium environments, which step on the host, with tensors on ``device``.

    ``memrl.rollout.spaces`` defines the tensors of each space. The environments that `memrl.make`
    makes convert text to tokens (``memrl.envs.adapters.text``); text of other environments is
    dropped. With NEXT_STEP autoreset each reset takes one row of its own: this row has ``valid``
    False and reward 0, and ignores its action. An action mask under ``action_mask`` in the
    observation or the info becomes ``obs["action_mask"]``, bool [B, A].

    Observations are the environment's, faults included: episodes of BabyAI's PutNextS*Carrying ids
    start with an image from before the agent picked up its object.

    ``state_dict`` cannot hold the hidden state of the environments. Loading it starts new
    episodes, seeded with the seed and the number of env steps. A resumed run is therefore
    repeatable, but does not continue the interrupted episodes.

    Args:
        vector: environments of one task, with ``metadata["autoreset_mode"]`` SAME_STEP or
            NEXT_STEP.
        device: of the tensors; observations are copied to it once per step.
        name: the task's id, for errors and for the rule of success; by default the id of the
            vector environment or of its first environment.

    Raises:
        ValueError: the autoreset mode or a space is not supported. In ``step`` and ``reset``: an
            observation or reward is NaN or has a wrong shape; the message names the environment.
    """

    def __init__(
        self,
        vector: VectorEnv[Any, Any, Any],
        *,
        device: torch.device | str = "cpu",
        name: str | None = None,
    ) -> None:
        self.num_envs = vector.num_envs
        self.device = torch.device(device)
        self.name = name or _name(vector)
        self._vector = vector
        self._same_step = _resets_in_same_step(vector, self.name)
        self._leaves = leaves(vector.single_observation_space)
        self._returns = RETURNS if PREV_DONE in self._leaves else ()  # of the episodes of a `Trial`
        self.metric_names = ("success", *self._returns)
        self.action_space = canonical_action(vector.single_action_space)
        self._seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._steps = 0
        self._ended = np.zeros(self.num_envs, dtype=bool)
        kept = {key: leaf.space for key, leaf in self._leaves.items()}
        self._masks = 0 if MASK in kept else self._masks_of_info()
        if self._masks:
            kept[MASK] = spaces.MultiBinary(self._masks)
        _check_mask(kept, self.action_space, self.name)
        self.observation_space = spaces.Dict(kept)
        self.has_goals = has_goals(vector, self._leaves)
        self._goal_reward: GoalReward | None = None

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            seed = self._seed = checked_seed(seed)
            self._steps = 0
        return self._restart(seed)

    def step(self, action: Tensor) -> Transition:
        array = decode_action(self._vector.single_action_space, action)
        with self._errors_named("step"):
            obs, reward, terminated, truncated, info = self._vector.step(array)
        resetting, self._ended = self._ended, terminated | truncated
        arrays = self._arrays(obs, info)
        last: Arrays = arrays
        last_info: Mapping[str, Any] = info
        if self._same_step and self._ended.any():
            last_info = _mapping(info.get("final_info"))
            last = self._last(arrays, info)
        reward = self._checked(reward if self._same_step else np.where(resetting, 0, reward))
        metrics = {"success": self._success(reward, terminated, last_info)}
        metrics |= {name: self._number(last_info, name) for name in self._returns}
        self._steps += self.num_envs
        tensors = self._tensors(arrays)
        return Transition(
            obs=tensors,
            reward=self._tensor(reward),
            terminated=self._tensor(terminated),
            truncated=self._tensor(truncated),
            final_obs=tensors if last is arrays else self._tensors(last),
            metrics=self._tensors(metrics),
            valid=None if self._same_step else self._tensor(~resetting),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self._seed, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        self._seed, self._steps = int(state["seed"]), int(state["steps"])
        mixed = np.random.SeedSequence([self._seed, self._steps]).generate_state(1)[0]
        return self._restart(int(mixed))

    def goal_reward(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        if self._goal_reward is None:
            self._goal_reward = GoalReward(self._vector, self._leaves, self.name)
        return self._goal_reward(achieved, desired)

    def render(self, index: int = 0) -> Any:
        """An image of one environment; None if it was made without ``render_mode``."""
        if self._vector.render_mode is None:
            return None
        with self._errors_named("render"):
            frames = self._vector.render()
        return None if frames is None else frames[index]

    def close(self) -> None:
        try:
            self._vector.close()
        except (Exception, SystemExit) as error:  # what was learned and measured is worth more
            warnings.warn(f"{self.name}: close raised {own_error(error)}", stacklevel=2)

    def _restart(self, seed: int | None) -> Obs:
        if seed is not None:  # environment i is seeded with seed + i
            seed %= LARGEST_SEED - self.num_envs
        with self._errors_named("reset"):
            obs, info = self._vector.reset(seed=seed)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        return self._tensors(self._arrays(obs, info))

    def _arrays(self, obs: Any, info: Mapping[str, Any]) -> Arrays:
        arrays = {
            key: encode(leaf, leaf.pick(obs), f"{self.name}: {key!r}")
            for key, leaf in self._leaves.items()
        }
        if self._masks:
            arrays[MASK] = self._mask(info)
        elif MASK in info and MASK not in self._leaves and mask_size(self.action_space):
            row = int(np.flatnonzero(self._present(info, MASK))[0])
            raise EnvOutputError(
                f"env {row} of {self.name}: the info has an {MASK}, the first info of reset had "
                f"none, allowed: masks from the first reset on, of ones where all is allowed"
            )
        return arrays

    def _last(self, arrays: Arrays, info: Mapping[str, Any]) -> Arrays:
        """The last observations of ended episodes; elsewhere the current observations."""
        if "final_obs" not in info:
            raise ValueError(
                f'{self.name}: the info of an ended episode lacks the key "final_obs", which '
                "SAME_STEP autoreset needs"
            )
        final_obs, rows = info["final_obs"], np.flatnonzero(self._ended)
        one_by_one = isinstance(final_obs, np.ndarray) and final_obs.dtype == object
        last = {key: array.copy() for key, array in arrays.items()}
        for key, leaf in self._leaves.items():
            if one_by_one:
                ended = np.stack([leaf.pick(final_obs[row]) for row in rows])
            else:
                ended = np.asarray(leaf.pick(final_obs))[rows]
            last[key][rows] = encode(leaf, ended, f"{self.name}: the final {key!r}", rows)
        if self._masks:
            last[MASK][rows] = self._mask(_mapping(info.get("final_info")))[rows]
        return last

    def _mask(self, info: Mapping[str, Any]) -> Array:
        """The action masks in an info; all True for an environment without one."""
        masks = np.ones((self.num_envs, self._masks), dtype=bool)
        if MASK in info:
            for row in np.flatnonzero(self._present(info, MASK)):
                what = f"env {row} of {self.name}: the info has the {MASK}"
                masks[row] = mask_array(info[MASK][row], self._masks, what)
        return masks

    def _masks_of_info(self) -> int:
        """Entries of the masks in the info, which only a reset shows; 0 if it holds none."""
        with self._errors_named("reset"):
            _, info = self._vector.reset()
        return (mask_size(self.action_space) or 0) if MASK in info else 0

    def _present(self, info: Mapping[str, Any], key: str) -> Array:
        """The environments whose info holds a key: bool [B]."""
        return np.asarray(info.get(f"_{key}", np.ones(self.num_envs, dtype=bool)))

    @contextmanager
    def _errors_named(self, verb: str) -> Iterator[None]:
        """Name the task in errors of a vector environment; `CheckedEnv` has named its own."""
        try:
            yield
        except (EnvError, EnvOutputError):
            raise
        except (Exception, SystemExit) as error:
            raise EnvError(f"{self.name}: {verb} raised {own_error(error)}") from error

    def _success(self, reward: Array, terminated: Array, info: Mapping[str, Any]) -> Array:
        """1 for success, 0 for failure, NaN where the task reports neither: float32 [B]."""
        if SUCCESS not in info and self.name.startswith(REWARD_MEANS_SUCCESS):
            return np.where((reward > 0) & terminated, np.float32(1), np.float32(0))
        return self._number(info, SUCCESS)

    def _number(self, info: Mapping[str, Any], key: str) -> Array:
        """An entry of an info, NaN where it is missing: float32 [B]."""
        if key not in info:
            return np.full(self.num_envs, np.nan, dtype=np.float32)
        return numbers(info[key], self._present(info, key), self.num_envs)

    def _checked(self, reward: Any) -> Array:
        single: Array = np.asarray(reward, dtype=np.float32)
        bad = ~np.isfinite(single)
        if bad.any():
            index = int(bad.argmax())
            raise EnvOutputError(
                f"the reward of env {index} of {self.name} is {single[index]}, "
                "allowed: finite numbers"
            )
        return single

    def _tensors(self, arrays: Arrays) -> Obs:
        return {key: self._tensor(array) for key, array in arrays.items()}

    def _tensor(self, array: Array) -> Tensor:
        return torch.tensor(array, device=self.device)


def _name(vector: VectorEnv[Any, Any, Any]) -> str:
    spec, unwrapped = vector.spec, vector.unwrapped
    if spec is None and hasattr(unwrapped, "get_attr"):
        spec = unwrapped.get_attr("spec")[0]
    return str(vector) if spec is None else spec.id


def _resets_in_same_step(vector: VectorEnv[Any, Any, Any], name: str) -> bool:
    mode = vector.metadata.get("autoreset_mode")
    if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        given = "missing" if mode is None else mode
        raise ValueError(
            f'the autoreset mode of {name} (metadata["autoreset_mode"]) is {given}, '
            "allowed: AutoresetMode.SAME_STEP (best) or AutoresetMode.NEXT_STEP"
        )
    return bool(mode == AutoresetMode.SAME_STEP)


def _mapping(info: Any) -> Mapping[str, Any]:
    return info if isinstance(info, Mapping) else {}


def _check_mask(kept: Mapping[str, spaces.Space[Any]], action_space: Any, name: str) -> None:
    """Raise ValueError if the action mask in an observation does not fit the actions."""
    if MASK not in kept or (size := mask_size(action_space)) is None:
        return
    found = int(np.prod(kept[MASK].shape or ()))
    if found != size:
        raise ValueError(
            f"{name}: the observation has an {MASK} of {found} entries, allowed: {size}, one for "
            "each action"
        )
