"""The policy that Stable-Baselines3's loop holds: ``predict`` with any memory's state."""

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
    DEFAULT,
    import_named,
    need_plugins,
    plugins_of,
    with_words,
)
from memrl.agents.sb3.source import Reader, mask_size
from memrl.checkpoint.spaces import space_from_data, space_to_data
from memrl.memory import state as states
from memrl.memory.core import MemoryCore
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.registry import nearest
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK, Array, canonical_action, decode_action

KIND = "MemoryPolicy"
FORGOT = (
    "predict was called again without the state that it returned, so that the memory starts empty "
    "at every step; keep it: action, state = model.predict(obs, state=state, episode_start=dones)"
)


class MemoryPolicy(BasePolicy):
    """Encoder → memory → heads behind SB3's interface.

    Args:
        observation_space: Box, Discrete, MultiDiscrete, MultiBinary, or a flat Dict of these.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box.
        masks: entries of an action mask that comes with every observation; 0: none.
        memory: the core: its name, ``module:Name`` (which is imported), or the class itself.
        memory_kwargs: its options.
        kwargs: fields of `memrl.policies.backbone.PolicyConfig`; ``encoder`` may be a class, and
            ``normalise_obs`` is off by default, because ``VecNormalize`` does that here.

    Raises:
        ValueError: a space, a memory or an option that is not known; the sentence names it.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        masks: int = 0,
        memory: str | type[MemoryCore[Any]] = DEFAULT,
        memory_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space)
        if "name" in (memory_kwargs or {}):
            raise ValueError("memory_kwargs are a memory's options; its name is memory=…")
        words = with_words({"memory": memory, **kwargs}) or {}
        import_named(words)
        word = words.pop("memory")
        self.masks = masks
        self.options = {"masks": masks, "memory": word, "memory_kwargs": memory_kwargs, **words}
        self.reader = Reader(observation_space, torch.device("cpu"))
        seen = dict(self.reader.space.spaces)
        if masks:
            seen[MASK] = spaces.MultiBinary(masks)
        self.seen = spaces.Dict(seen)
        self.net = build_policy(
            self.seen,
            canonical_action(action_space),
            {"name": word, **(memory_kwargs or {})},
            _config(words),
        )
        self.generator = torch.Generator()
        self._handed_out = False

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
        action_masks: Array | None = None,
    ) -> tuple[Array, Any]:
        """Actions and the memory's next state, for one observation or a batch of them.

        Args:
            observation: as the environment gives it.
            state: what the last call returned; None at the beginning.
            episode_start: bool [B], True where an episode begins: there the state is replaced.
            deterministic: the most probable actions instead of drawn ones.
            action_masks: bool, True where an action is allowed, as in sb3-contrib; None: the mask
                within the observation, if it has one.

        Raises:
            ValueError: an observation outside its space, or a state of another batch size.
        """
        self.set_training_mode(False)
        self._refuse_others(observation)
        single = self.reader.is_single(observation)
        obs = self._obs(observation, single, action_masks)
        batch = len(next(iter(obs.values())))
        fresh = state is None
        self._warn_if_forgotten(fresh, episode_start)
        state = self.net.initial_state(batch) if fresh else state
        self._check(state, batch)
        begins = np.full(batch, fresh) if episode_start is None else np.asarray(episode_start, bool)
        if begins.size != batch:
            raise ValueError(f"episode_start is of {begins.size} rows, the observation of {batch}")
        start = torch.as_tensor(begins.reshape(batch), device=self.device)
        with torch.no_grad():
            out = self.net.step(obs, state, start)
        chosen = out.actions.mode() if deterministic else out.actions.sample(self.generator)
        actions = decode_action(self.action_space, chosen)
        return (np.asarray(actions[0]) if single else actions), out.state

    def save(self, path: archive.Place) -> None:
        """The policy alone, as `MemoryPPO.save` writes files.

        Raises:
            RunError: the disk is full or not writable; an older file is as it was.
        """
        given = {
            "observation_space": space_to_data(self.observation_space),
            "action_space": space_to_data(self.action_space),
            "options": self.options,
            "plugins": plugins_of(self.options),
        }
        archive.write(path, {"data": given, "policy": dict(self.state_dict())}, kind=KIND)

    @classmethod
    def load(
        cls,
        path: archive.Place,
        device: torch.device | str = "auto",
        *,
        plugins: Iterable[str] = (),
    ) -> MemoryPolicy:
        """A policy as it was saved; no code of the file runs.

        ``plugins`` are modules of one's own that it was made with, to be imported; no other is.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no file of a `MemoryPolicy`, or one made with a module that is neither
                imported nor named; the sentence says why.
        """
        saved = archive.read(path, kind=KIND)
        given = saved["data"]
        need_plugins(given["options"], given.get("plugins", {}), plugins)
        seen, does = (space_from_data(given[f"{n}_space"]) for n in ("observation", "action"))
        policy = cls(seen, does, **given["options"])
        policy.load_state_dict(saved["policy"])
        return policy.to(get_device(device))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("a memory acts through predict(observation, state)")

    def _refuse_others(self, observation: Any) -> None:
        """Say what an observation is that cannot be one of this space."""
        if isinstance(observation, tuple):
            raise ValueError(
                "the observation is a tuple: Gymnasium's reset returns obs, info = env.reset()"
            )
        space = self.observation_space
        if isinstance(space, spaces.Dict) != isinstance(observation, Mapping):
            given, wanted = type(observation).__name__, type(space).__name__
            raise ValueError(f"the observation is a {given}, but its space is a {wanted}")
        if isinstance(space, spaces.Dict):
            for name in (leaf.path[0] for leaf in self.reader.leaves.values()):
                if name not in observation:
                    raise ValueError(f"the observation has no {name!r}")

    def _obs(self, observation: Any, single: bool, masks: Array | None) -> Obs:
        if single:
            observation = (
                {key: np.asarray(part)[None] for key, part in observation.items()}
                if isinstance(observation, Mapping)
                else np.asarray(observation)[None]
            )
        obs = {key: part.to(self.device) for key, part in self.reader.read(observation).items()}
        if masks is not None:
            given, batch = np.asarray(masks, bool), len(next(iter(obs.values())))
            size = mask_size(self.action_space)
            if given.size != batch * size:
                raise ValueError(f"action_masks has shape {given.shape}, not ({batch}, {size})")
            obs[MASK] = torch.as_tensor(given.reshape(batch, size), device=self.device)
        return obs

    def _check(self, state: Any, batch: int) -> None:
        for leaf in states.leaves(state):
            if len(leaf) != batch:
                raise ValueError(f"the state is of {len(leaf)} rows, the observation of {batch}")

    def _warn_if_forgotten(self, fresh: bool, episode_start: Array | None) -> None:
        """A state was handed out, and the next call of the same episode does without it."""
        remembers = self.net.core.horizon != 0
        begins = episode_start is not None and bool(np.all(episode_start))
        if remembers and fresh and not begins and self._handed_out:
            warnings.warn(FORGOT, UserWarning, stacklevel=4)
        self._handed_out = fresh


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
