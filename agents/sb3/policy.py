"""A policy with any memory for Stable-Baselines3: ``predict`` takes and returns its state."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from pydantic import ValidationError
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import get_device
from torch import Tensor

from memrl.agents.sb3 import archive
from memrl.agents.sb3.plugins import (
    DEFAULT_MEMORY,
    import_named,
    import_plugins,
    plugin_folders,
    with_class_names,
)
from memrl.agents.sb3.returned_states import ReturnedStates
from memrl.agents.sb3.vec_env import ObservationConverter, mask_size
from memrl.checkpoint.spaces import space_from_data, space_to_data
from memrl.errors import nearest
from memrl.memory import state as states
from memrl.memory.core import MemoryCore
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK, Array, canonical_action, decode_action

KIND = "MemoryPolicy"
FORGOT_STATE = (
    "predict was called again without the state that it returned, so the memory starts empty at "
    "every step; keep it: action, state = model.predict(obs, state=state, episode_start=dones)"
)


class MemoryPolicy(BasePolicy):
    """Encoder → memory → heads with SB3's policy interface.

    Args:
        observation_space: Box, Discrete, MultiDiscrete, MultiBinary, or a flat Dict of these.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box.
        masks: entries of the action mask that comes with every observation; 0: no mask.
        memory: a memory's name, ``module:Name`` (the module is imported), or a class.
        memory_kwargs: options of the memory.
        kwargs: fields of `memrl.policies.backbone.PolicyConfig`; ``encoder`` may be a class, and
            ``normalise_obs`` is off by default, because ``VecNormalize`` does that here.

    Raises:
        ValueError: a space is unsupported, or a memory or an option is unknown.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        masks: int = 0,
        memory: str | type[MemoryCore[Any]] = DEFAULT_MEMORY,
        memory_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space)
        if "name" in (memory_kwargs or {}):
            raise ValueError(
                "memory_kwargs has the key 'name', allowed: other options; its name is memory="
            )
        words = with_class_names({"memory": memory, **kwargs}) or {}
        import_named(words)
        word = words.pop("memory")
        self.masks = masks
        self.options = {"masks": masks, "memory": word, "memory_kwargs": memory_kwargs, **words}
        self.converter = ObservationConverter(observation_space, torch.device("cpu"))
        entries = dict(self.converter.space.spaces)
        if masks:
            entries[MASK] = spaces.MultiBinary(masks)
        self.input_space = spaces.Dict(entries)
        self.net = build_policy(
            self.input_space,
            canonical_action(action_space),
            {"name": word, **(memory_kwargs or {})},
            _config(words),
        )
        self.generator = torch.Generator()
        self._returned = ReturnedStates()

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
        action_masks: Array | None = None,
    ) -> tuple[Array, Any]:
        """Actions and the memory's next state, for one observation or a batch.

        Args:
            observation: one observation of the environment, or a batch [B, ...].
            state: returned by the last call; None in the first call.
            episode_start: bool [B], True where an episode starts; the state of that row is reset.
            deterministic: return the most probable actions instead of sampled ones.
            action_masks: bool, True where an action is allowed, as in sb3-contrib; None: use the
                mask in the observation, if there is one.

        Raises:
            ValueError: an observation is outside its space, or the state has another batch size.
        """
        self.set_training_mode(False)
        self._check_observation(observation)
        single = self.converter.is_single(observation)
        obs = self._obs(observation, single, action_masks)
        batch = len(next(iter(obs.values())))
        fresh = state is None
        self._warn_if_forgotten(state, episode_start)
        state = self.net.initial_state(batch) if fresh else state
        self._check(state, batch)
        begins = np.full(batch, fresh) if episode_start is None else np.asarray(episode_start, bool)
        if begins.size != batch:
            raise ValueError(
                f"episode_start has {begins.size} rows, allowed: {batch}, as the observation"
            )
        start = torch.as_tensor(begins.reshape(batch), device=self.device)
        with torch.no_grad():
            out = self.net.step(obs, state, start)
        if fresh:
            self._returned.add(out.state)
        chosen = out.actions.mode() if deterministic else out.actions.sample(self.generator)
        actions = decode_action(self.action_space, chosen)
        return (np.asarray(actions[0]) if single else actions), out.state

    def save(self, path: archive.PathOrStream) -> None:
        """Write the policy alone to a file like that of `MemoryPPO.save`.

        Raises:
            RunError: the disk is full or not writable; an older file is unchanged.
        """
        given = {
            "observation_space": space_to_data(self.observation_space),
            "action_space": space_to_data(self.action_space),
            "options": self.options,
            "plugins": plugin_folders(self.options),
        }
        archive.write(path, {"data": given, "policy": dict(self.state_dict())}, kind=KIND)

    @classmethod
    def load(
        cls,
        path: archive.PathOrStream,
        device: torch.device | str = "auto",
        *,
        plugins: Iterable[str] = (),
    ) -> MemoryPolicy:
        """Load a saved policy; no code from the file runs.

        ``plugins`` names the user's modules that the policy needs; only these are imported.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file was not saved by `MemoryPolicy`, or needs a module that is neither
                imported nor in ``plugins``.
        """
        saved = archive.read(path, kind=KIND)
        given = saved["data"]
        import_plugins(given["options"], given.get("plugins", {}), plugins)
        obs_space, action_space = (
            space_from_data(given[f"{name}_space"]) for name in ("observation", "action")
        )
        policy = cls(obs_space, action_space, **given["options"])
        policy.load_state_dict(saved["policy"])
        return policy.to(get_device(device))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("a policy with a memory acts through predict(observation, state)")

    def _check_observation(self, observation: Any) -> None:
        """Raise ValueError for an observation of another type than the space's."""
        if isinstance(observation, tuple):
            raise ValueError(
                "the observation is a tuple, allowed: its first part; obs, info = env.reset()"
            )
        space = self.observation_space
        if isinstance(space, spaces.Dict) != isinstance(observation, Mapping):
            given, wanted = type(observation).__name__, type(space).__name__
            raise ValueError(
                f"the observation is of type {given}, allowed: one of its space, a {wanted}"
            )
        if isinstance(space, spaces.Dict):
            for name in (leaf.path[0] for leaf in self.converter.leaves.values()):
                if name not in observation:
                    raise ValueError(f"the observation has no entry {name!r}")

    def _obs(self, observation: Any, single: bool, masks: Array | None) -> Obs:
        if single:
            observation = (
                {key: np.asarray(part)[None] for key, part in observation.items()}
                if isinstance(observation, Mapping)
                else np.asarray(observation)[None]
            )
        obs = {key: part.to(self.device) for key, part in self.converter.read(observation).items()}
        if masks is not None:
            given, batch = np.asarray(masks, bool), len(next(iter(obs.values())))
            size = mask_size(self.action_space)
            if given.size != batch * size:
                raise ValueError(
                    f"action_masks has shape {given.shape}, allowed: ({batch}, {size})"
                )
            obs[MASK] = torch.as_tensor(given.reshape(batch, size), device=self.device)
        return obs

    def _check(self, state: Any, batch: int) -> None:
        for leaf in states.leaves(state):
            if len(leaf) != batch:
                raise ValueError(
                    f"the state has {len(leaf)} rows, allowed: {batch}, as the observation"
                )

    def _warn_if_forgotten(self, state: Any, episode_start: Array | None) -> None:
        """Warn if a call within an episode lacks a state, and one that was returned is lost."""
        if state is not None:
            self._returned.hand_back(state)
            return
        has_state = self.net.core.horizon != 0
        begins = episode_start is not None and bool(np.all(episode_start))
        if self._returned.lost() and has_state and not begins:
            warnings.warn(FORGOT_STATE, UserWarning, stacklevel=4)


def _config(given: Mapping[str, Any]) -> PolicyConfig:
    try:
        own = {} if given.get("encoder") else {"normalise_obs": False}
        return PolicyConfig(**{"head_dim": 64, **own, **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "value_error":
            raise ValueError(str(first["ctx"]["error"])) from None
        if first["type"] != "extra_forbidden":
            raise ValueError(f"policy_kwargs: {name}: {first['msg']}") from None
        known = ["memory", "memory_kwargs", *PolicyConfig.model_fields]
        raise ValueError(
            f"unknown policy option {name!r}{nearest(name, known)} (known: {', '.join(known)})"
        ) from None
