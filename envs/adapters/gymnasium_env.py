"""Any Gymnasium environment as a `BatchedEnv`: an id, or a vector environment that was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, final

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.spaces import MASK, Array, canonical_action, decode_action, encode, leaves

Arrays: TypeAlias = dict[str, Array]

# Tasks that end with a reward if and only if they were solved.
REWARD_MEANS_SUCCESS = ("MiniGrid-", "BabyAI-")


@final
class GymnasiumAdapter(BatchedEnv):
    """B copies of a Gymnasium task, stepped on the host, seen as tensors on ``device``.

    ``memrl.rollout.spaces`` says what each space becomes; the copies that `memrl.make` makes have
    tokens in place of text (``memrl.envs.adapters.text``), from others it is dropped. A vector
    environment that resets in the next step spends one row per episode on its reset; that row has
    ``valid`` False, reward 0, and its action was not used. An action mask is found in the
    observation or in the info under ``action_mask``, and becomes ``obs["action_mask"]``,
    bool [B, A].

    What a task shows is passed on, faults included: BabyAI's PutNextS*Carrying ids open an episode
    with an image from before the agent took up its object.

    ``state_dict`` cannot hold what the environments hide. Loading it begins new episodes, seeded
    by the seed and the number of steps taken, so that a resumed run is repeatable but does not
    continue the episodes that were cut.

    Args:
        vector: copies of one task, with ``metadata["autoreset_mode"]`` SAME_STEP or NEXT_STEP.
        device: where observations go, once a step.
        name: the task's id, for errors and for the rule of success; by default the id of the
            vector environment or of its copies.

    Raises:
        ValueError: a reset mode or a space that cannot be served; in ``step`` and ``reset``: an
            observation or reward that is NaN or of a wrong shape. The message names the copy.
    """

    metric_names = ("success",)

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
        self.action_space = canonical_action(vector.single_action_space)
        self._seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._steps = 0
        self._ended = np.zeros(self.num_envs, dtype=bool)
        kept = {key: leaf.space for key, leaf in self._leaves.items()}
        # Only a reset can tell whether the info holds a mask.
        self._masks = 0 if MASK in kept else _mask_size(vector.reset()[1])
        if self._masks:
            kept[MASK] = spaces.MultiBinary(self._masks)
        self.observation_space = spaces.Dict(kept)

    def reset(self, seed: int | None = None) -> Obs:
        if seed is not None:
            self._seed = seed
            self._steps = 0
        return self._restart(seed)

    def step(self, action: Tensor) -> Transition:
        answer = self._vector.step(decode_action(self._vector.single_action_space, action))
        obs, reward, terminated, truncated, info = answer
        waiting, self._ended = self._ended, terminated | truncated
        arrays = self._read(obs, info)
        last, said = arrays, info
        if self._same_step and self._ended.any():
            said = info.get("final_info", {})
            last = self._last(arrays, info)
        reward = self._checked(np.where(waiting, 0, reward) if not self._same_step else reward)
        success = self._success(reward, terminated, said)
        self._steps += self.num_envs
        tensors = self._tensors(arrays)
        return Transition(
            obs=tensors,
            reward=self._tensor(reward),
            terminated=self._tensor(terminated),
            truncated=self._tensor(truncated),
            final_obs=tensors if last is arrays else self._tensors(last),
            metrics={"success": self._tensor(success)},
            valid=None if self._same_step else self._tensor(~waiting),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self._seed, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        self._seed, self._steps = int(state["seed"]), int(state["steps"])
        mixed = np.random.SeedSequence([self._seed, self._steps]).generate_state(1)[0]
        return self._restart(int(mixed) // 2)  # below 2³¹, and so are the seeds of all copies

    def render(self, copy: int = 0) -> Any:
        """A picture of one copy; the environment must have been made with ``render_mode``."""
        if self._vector.render_mode is None:
            return None
        frames = self._vector.render()
        return None if frames is None else frames[copy]

    def close(self) -> None:
        self._vector.close()

    def _restart(self, seed: int | None) -> Obs:
        obs, info = self._vector.reset(seed=seed)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        return self._tensors(self._read(obs, info))

    def _read(self, obs: Any, info: Mapping[str, Any]) -> Arrays:
        arrays = {
            key: encode(leaf, leaf.pick(obs), f"{self.name}: {key!r}")
            for key, leaf in self._leaves.items()
        }
        if self._masks:
            arrays[MASK] = self._mask(info)
        return arrays

    def _last(self, arrays: Arrays, info: Mapping[str, Any]) -> Arrays:
        """The last observations: of the episodes that ended; elsewhere those in hand."""
        if "final_obs" not in info:
            raise ValueError(f'{self.name} ended an episode and gave no info["final_obs"]')
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
            last[MASK][rows] = self._mask(info.get("final_info", {}))[rows]
        return last

    def _mask(self, info: Mapping[str, Any]) -> Array:
        """The masks in an info; a copy that says nothing allows everything."""
        if MASK not in info:
            return np.ones((self.num_envs, self._masks), dtype=bool)
        said = np.asarray(info.get(f"_{MASK}", np.ones(self.num_envs, dtype=bool)))
        return np.where(said[:, None], np.asarray(info[MASK]).astype(bool), True)

    def _success(self, reward: Array, terminated: Array, info: Mapping[str, Any]) -> Array:
        """1 solved, 0 not, NaN where the task does not say: float32 [B]."""
        if "is_success" in info:
            said = np.asarray(info.get("_is_success", np.ones(self.num_envs, dtype=bool)))
            success = np.full(self.num_envs, np.nan, dtype=np.float32)
            success[said] = np.asarray(info["is_success"])[said].astype(np.float32)
            return success
        if self.name.startswith(REWARD_MEANS_SUCCESS):
            return np.where((reward > 0) & terminated, np.float32(1), np.float32(0))
        return np.full(self.num_envs, np.nan, dtype=np.float32)

    def _checked(self, reward: Any) -> Array:
        single: Array = np.asarray(reward, dtype=np.float32)
        bad = ~np.isfinite(single)
        if bad.any():
            copy = int(bad.argmax())
            raise ValueError(f"{self.name}: the reward of copy {copy} is {single[copy]}")
        return single

    def _tensors(self, arrays: Arrays) -> Obs:
        return {key: self._tensor(array) for key, array in arrays.items()}

    def _tensor(self, array: Array) -> Tensor:
        return torch.tensor(array, device=self.device)


def _name(vector: VectorEnv[Any, Any, Any]) -> str:
    spec, copies = vector.spec, vector.unwrapped
    if spec is None and hasattr(copies, "get_attr"):
        spec = copies.get_attr("spec")[0]
    return str(vector) if spec is None else spec.id


def _resets_in_same_step(vector: VectorEnv[Any, Any, Any], name: str) -> bool:
    mode = vector.metadata.get("autoreset_mode")
    if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        said = "missing" if mode is None else mode
        raise ValueError(
            f'the autoreset mode of {name} (metadata["autoreset_mode"]) is {said}; '
            "allowed: AutoresetMode.SAME_STEP (best) or AutoresetMode.NEXT_STEP"
        )
    return bool(mode == AutoresetMode.SAME_STEP)


def _mask_size(info: Mapping[str, Any]) -> int:
    return int(np.asarray(info[MASK]).shape[-1]) if MASK in info else 0
