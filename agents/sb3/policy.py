"""A policy with any memory for Stable-Baselines3: built from words, saved without code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from gymnasium import spaces
from pydantic import ValidationError
from stable_baselines3.common.utils import get_device
from torch.optim import Optimizer

from memrl.agents.auxiliary import AuxiliaryConfig, make_auxiliary
from memrl.agents.sb3 import archive
from memrl.agents.sb3.acting import ActingPolicy
from memrl.agents.sb3.architecture import Architecture, split_words
from memrl.agents.sb3.extractor import ExtractedFeatures
from memrl.agents.sb3.options import plain
from memrl.agents.sb3.plugins import (
    DEFAULT_MEMORY,
    import_named,
    import_plugins,
    plugin_folders,
    with_class_names,
)
from memrl.agents.sb3.recurrent_words import CRITIC_WORDS, WORDS, without_recurrent_words
from memrl.agents.sb3.returned_states import ReturnedStates
from memrl.agents.sb3.vec_env import ObservationConverter
from memrl.checkpoint.spaces import space_from_data, space_to_data
from memrl.errors import nearest
from memrl.memory.core import MemoryCore
from memrl.memory.parts.slots import limit_of
from memrl.nn.encoder import Encoder
from memrl.nn.normalise import RunningNorm
from memrl.options import check_options
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig, build_encoder
from memrl.rollout.spaces import MASK, canonical_action

KIND = "MemoryPolicy"
NOT_CALLED = ("forward", "evaluate_actions", "predict_values", "extract_features")  # by learning


class MemoryPolicy(ActingPolicy):
    """Encoder → memory → heads with SB3's policy interface.

    Args:
        observation_space: Box, Discrete, MultiDiscrete, MultiBinary, or a flat Dict of these.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box.
        masks: entries of the action mask that comes with every observation; 0: no mask.
        normalize_returns: the critic's output is standardised.
        memory: a memory's name, ``module:Name`` (the module is imported), or a class.
        memory_kwargs: options of the memory.
        auxiliary: fields of `memrl.agents.auxiliary.AuxiliaryConfig`, a further loss of the memory.
        kwargs: fields of `memrl.policies.backbone.PolicyConfig`; ``encoder`` may be a class, and
            ``normalise_obs`` is off by default, because ``VecNormalize`` does that here. Or words
            of SB3's and sb3-contrib's policies, with their meaning: ``net_arch``,
            ``features_extractor_class``, ``lstm_hidden_size`` and others, see docs/sb3.md.

    Raises:
        ValueError: a space is unsupported, a memory or an option is unknown, or two options
            contradict each other.
    """

    _optimizer: Optimizer | None = None

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        masks: int = 0,
        normalize_returns: bool = False,
        memory: str | type[MemoryCore[Any]] = DEFAULT_MEMORY,
        memory_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space)
        if "name" in (memory_kwargs or {}):
            raise ValueError(
                "memory_kwargs has the key 'name', allowed: other options; its name is memory="
            )
        given = plain({"memory": memory, "memory_kwargs": memory_kwargs, **kwargs})
        words = with_class_names(given) or {}
        import_named(words)
        self.masks = masks
        self.options = {"masks": masks, "normalize_returns": normalize_returns, **words}
        self.architecture, others = split_words(without_recurrent_words(words))
        word, options = others.pop("memory"), others.pop("memory_kwargs", None) or {}
        self.auxiliary_config = _auxiliary_config(others.pop("auxiliary", None) or {})
        if (grow := limit_of({**options, "name": word})) is not None:
            raise ValueError(
                f"memory_kwargs has grow={grow}, allowed: None; memories grow in memrl train and "
                "memrl fit only"
            )
        config = _config(others, self.architecture)
        if config.columns:
            raise ValueError(
                f"policy_kwargs has columns={config.columns}, allowed: 0; frozen columns are those "
                "of an earlier run, which only memrl train takes (init=RUN)"
            )
        self.converter = ObservationConverter(observation_space, torch.device("cpu"))
        entries = dict(self.converter.space.spaces)
        if masks:
            entries[MASK] = spaces.MultiBinary(masks)
        self.input_space = spaces.Dict(entries)
        self.net_action_space = canonical_action(action_space)
        self.net = build_policy(
            self.input_space,
            self.net_action_space,
            {"name": word, **options},
            config,
            make_bodies=self.architecture.make_bodies(others.get("head_dim")),
            encoders=self._encoders(config),
        )
        self.architecture.finish(self.net)
        for name in ("net_arch", "ortho_init", "log_std_init", "share_features_extractor"):
            setattr(self, name, getattr(self.architecture, name))
        self.auxiliary = make_auxiliary(self.net, self.input_space, self.auxiliary_config)
        self.return_norm = RunningNorm(1, clip=None) if normalize_returns else None
        self.generator = torch.Generator()
        self._returned = ReturnedStates()

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

    def make_optimizer(self, lr: float) -> Optimizer:
        """Make the optimiser of all parameters that learn; it stands where SB3 looks for it.

        Raises:
            ValueError: ``optimizer_kwargs`` do not fit its class.
        """
        parameters = list(self.net.parameters())
        parameters += [] if self.auxiliary is None else list(self.auxiliary.parameters())
        self._optimizer = self.architecture.make_optimizer(parameters, lr)
        return self._optimizer

    @property  # type: ignore[override]  # None before it is made, as in SB3's BaseModel
    def optimizer(self) -> Optimizer | None:
        """The optimiser that learns; None before `make_optimizer`."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, value: Optimizer | None) -> None:
        if value is not None:
            raise ValueError(
                f"policy.optimizer cannot be replaced (by {type(value).__name__}): the words "
                "optimizer_class and optimizer_kwargs choose it, its param_groups hold its rates, "
                "and parameters with requires_grad=False stay as they are"
            )

    def _encoders(self, config: PolicyConfig) -> list[Encoder]:
        """The encoder, or the actor's and the critic's."""
        words = self.architecture
        cls, kwargs = words.extractor, words.features_extractor_kwargs or {}

        def build() -> Encoder:
            if cls is None:
                return build_encoder(self.input_space, config)
            return ExtractedFeatures(
                cls, self.converter, kwargs, normalize_images=words.normalize_images
            )

        return [build() for _ in range(1 if words.share_features_extractor else 2)]


def check_overrides(policy: type[MemoryPolicy]) -> None:
    """Refuse a subclass whose change would have no effect on learning.

    Raises:
        ValueError: it overrides a method that learning does not call.
    """
    for name in NOT_CALLED:
        if getattr(policy, name) is not getattr(MemoryPolicy, name):
            raise ValueError(
                f"the policy {policy.__name__} overrides {name}, which learning does not call, "
                "allowed: words of policy_kwargs, an encoder or a memory of your own, and callbacks"
            )


def _config(given: Mapping[str, Any], words: Architecture) -> PolicyConfig:
    if words.features_extractor_class is not None:
        for name in (
            "encoder",
            "encoder_options",
            "encoder_dim",
            "cell_dim",
            "discrete_dim",
            "normalise_obs",
            "beside",
        ):
            if given.get(name) is not None:
                raise ValueError(
                    f"policy_kwargs has {name} and features_extractor_class, allowed: one of them"
                )
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
        own_words = ["memory", "memory_kwargs", "auxiliary", *PolicyConfig.model_fields]
        known = [*own_words, *Architecture._fields, *WORDS, *CRITIC_WORDS]
        raise ValueError(
            f"unknown policy option {name!r}{nearest(name, known)} (known: {', '.join(known)})"
        ) from None


def _auxiliary_config(given: Any) -> AuxiliaryConfig:
    if not isinstance(given, Mapping):
        raise ValueError(f"policy_kwargs: auxiliary={given!r}, allowed: a dict, as {{'kind': …}}")
    return AuxiliaryConfig(**check_options("policy_kwargs: auxiliary", AuxiliaryConfig, given))
