"""Save, load and export a model, and replace its environments."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import get_system_info

from memrl.agents.ppo.learner import Learner
from memrl.agents.sb3 import archive, normalisation, saving
from memrl.agents.sb3.plugins import import_named, import_plugins, with_class_names
from memrl.agents.sb3.policy import MemoryPolicy
from memrl.agents.sb3.rates import LearningRates
from memrl.checkpoint.spaces import space_to_data
from memrl.nn.normalise import RunningNorm
from memrl.policies.export import ExportedStep, export_step
from memrl.rollout.collect import Collector
from memrl.rollout.spaces import brief_space

P = TypeVar("P", bound="Persistent")


class Persistent(OnPolicyAlgorithm, ABC):
    """SB3's training loop with a memory policy that can be saved; the subclass learns."""

    policy: MemoryPolicy  # type: ignore[assignment]
    learner: Learner
    generator: torch.Generator
    rates: LearningRates
    masks: int  # entries of an action mask; 0: none
    _collector: Collector | None = None
    _saved_collector: dict[str, Any] | None = None  # the collector's state in a loaded file
    _carried_starts: Any = None  # ``_last_episode_starts``, unless SB3 has reset since
    _saved_normalisation: dict[str, Any] | None = None  # a ``VecNormalize``'s, in a loaded file

    def save(
        self,
        path: archive.PathOrStream,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """Write everything but the environments to a zip of safetensors and JSON, atomically.

        The file includes the statistics of a ``VecNormalize`` and the memory's state in every
        environment.

        Args:
            path: a path, which gets ``.zip`` if it has no suffix, or a stream.
            exclude: constructor arguments to leave out; `load` gives them their defaults.
            include: names that are in the file anyway; others cannot be stored.

        Raises:
            ValueError: ``exclude`` or ``include`` names what a file must or cannot contain.
            TypeError: ``policy_kwargs`` or episode infos contain a value that cannot be stored.
            RunError: the disk is full or not writable; an older file is unchanged.
        """
        parts = saving.model_parts(self)
        saving.choose(parts["data"]["arguments"], exclude or (), include or ())
        archive.write(path, parts, kind=saving.KIND)

    @classmethod
    def load(
        cls: type[P],
        path: archive.PathOrStream,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        plugins: Iterable[str] = (),
        **kwargs: Any,
    ) -> P:
        """Load a saved model; no code from the file runs.

        Args:
            path: as for `save`.
            env: to continue training in, with as many environments as the saved model had. The
                saved ``VecNormalize`` is added if ``env`` has none.
            device: of the loaded model.
            custom_objects: the same as ``kwargs``, as in SB3.
            print_system_info: print information about this machine.
            force_reset: start new episodes; False continues with the saved memory state, for an
                ``env`` that has not been stepped since.
            plugins: names of the user's modules that the model needs; only these are imported.
            kwargs: constructor arguments that replace the saved ones, ``n_envs``, counters such as
                ``num_timesteps``, and spaces, which must be the saved ones.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file was not saved by `MemoryPPO`, does not fit ``env`` or ``kwargs``,
                or needs a module that is neither imported nor in ``plugins``.
        """
        if print_system_info:
            get_system_info()
        given = {**(custom_objects or {}), **kwargs}
        if "policy_kwargs" in given:
            given["policy_kwargs"] = with_class_names(given["policy_kwargs"])
        saved = archive.read(path, kind=saving.KIND)
        import_named(given.get("policy_kwargs"))
        data = saved["data"]
        import_plugins(data["arguments"]["policy_kwargs"], data.get("plugins", {}), plugins)
        model: P = saving.rebuild(
            cls, saved, env, device=device, given=given, force_reset=force_reset
        )
        return model

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Load the parameters of a file or of ``get_parameters`` into this model.

        Raises:
            ValueError: the file's policy differs from this model's.
        """
        given = load_path_or_dict
        if not isinstance(given, dict):
            given = saving.read_parameters(given, self)
        super().set_parameters(given, exact_match, device)
        self.rates.follow_schedule()

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Continue training in other environments of the same number and spaces.

        Raises:
            ValueError: the number of environments or a space differs.
        """
        vec = self._wrap_env(env, self.verbose)
        if vec.num_envs != self.n_envs:
            raise ValueError(
                f"env has {vec.num_envs} environments, allowed: {self.n_envs}, as the model was "
                f"made for; load(path, env, n_envs={vec.num_envs}) changes it"
            )
        if self._saved_normalisation is not None:
            vec = normalisation.with_statistics(vec, self._saved_normalisation)
            self._saved_normalisation = None
        for what in ("observation_space", "action_space"):
            there, here = getattr(vec, what), getattr(self, what)
            if space_to_data(there) != space_to_data(here):
                raise ValueError(
                    f"the {what} of env is {brief_space(there)}, allowed: {brief_space(here)}, as "
                    "the model was made for"
                )
        self.observation_space, self.action_space = vec.observation_space, vec.action_space
        if not force_reset:
            self._saved_collector = self.collector_state()
        super().set_env(vec, force_reset)

    def export(self, path: str | Path) -> ExportedStep:
        """Export one step of the policy as ONNX (``.onnx``) or a torch.export program (``.pt2``).

        The memory's state is a named input and output; see `memrl.policies.export`.

        Raises:
            ValueError: another suffix, a missing package, or a policy that cannot be exported.
        """
        return export_step(self.policy.net, self.policy.input_space, Path(path))

    def generators(self) -> list[torch.Generator]:
        """The random generators of training actions, minibatches and `predict`."""
        return [self.generator, self.learner.shuffler, self.policy.generator]

    @property
    def return_norm(self) -> RunningNorm | None:
        """Statistics of returns, in whose units the critic predicts; None: in units of reward."""
        return self.policy.return_norm

    def collector_state(self) -> dict[str, Any] | None:
        """The collector's state between rollouts; None before the first."""
        return self._saved_collector if self._collector is None else self._collector.state_dict()

    def normalisation_state(self) -> dict[str, Any] | None:
        """Statistics of the environments' ``VecNormalize``; None without one."""
        own = self._vec_normalize_env
        return self._saved_normalisation if own is None else normalisation.statistics(own)
