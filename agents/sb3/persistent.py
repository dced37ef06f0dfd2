"""What of a model outlives its process: saving, loading, exporting, and new environments."""

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
from memrl.agents.sb3.plugins import import_named, need_plugins, with_words
from memrl.agents.sb3.policy import MemoryPolicy
from memrl.checkpoint.spaces import space_to_data
from memrl.nn.normalise import RunningNorm
from memrl.policies.export import ExportedStep, export_step
from memrl.rollout.collect import Collector

P = TypeVar("P", bound="Persistent")


class Persistent(OnPolicyAlgorithm, ABC):
    """SB3's loop around a policy with a memory; how it learns is its subclass's."""

    policy: MemoryPolicy  # type: ignore[assignment]
    learner: Learner
    generator: torch.Generator
    return_norm: RunningNorm | None
    masks: int  # entries of an action mask; 0: none
    _collector: Collector | None = None
    _kept: dict[str, Any] | None = None  # state of a collector, from a file
    _normalisation: dict[str, Any] | None = None  # of a ``VecNormalize``, from a file

    def save(self, path: archive.Place) -> None:  # type: ignore[override]
        """Everything but the environments: safetensors and JSON in a zip, written atomically.

        With it go the statistics of a ``VecNormalize`` and the memory's state in every copy.

        Args:
            path: without an ending it gets ``.zip``; or a stream.

        Raises:
            TypeError: ``policy_kwargs`` or an environment's episode infos hold what is no data.
            RunError: the disk is full or not writable; an older file is as it was.
        """
        archive.write(path, saving.parts(self), kind=saving.KIND)

    @classmethod
    def load(
        cls: type[P],
        path: archive.Place,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        plugins: Iterable[str] = (),
        **kwargs: Any,
    ) -> P:
        """A model as it was saved; no code of the file runs.

        Args:
            path: as for `save`.
            env: to learn on in; of as many copies as the saved one. One without a ``VecNormalize``
                gets the one that was saved.
            device: where the model shall live.
            custom_objects: as ``kwargs``, for SB3's users.
            print_system_info: print this machine's.
            force_reset: begin new episodes; False goes on with the memory's state, for an ``env``
                that was not touched since.
            plugins: modules of one's own that the model was made with, to be imported: no other is.
            kwargs: arguments of the constructor that shall differ, and ``n_envs``.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no file of a `MemoryPPO`, one that does not fit, or one made with a module
                that is neither imported nor named; the sentence says why.
        """
        if print_system_info:
            get_system_info()
        given = {**(custom_objects or {}), **kwargs}
        if "policy_kwargs" in given:
            given["policy_kwargs"] = with_words(given["policy_kwargs"])
        saved = archive.read(path, kind=saving.KIND)
        import_named(given.get("policy_kwargs"))
        data = saved["data"]
        need_plugins(data["arguments"]["policy_kwargs"], data.get("plugins", {}), plugins)
        model: P = saving.revive(
            cls, saved, env, device=device, given=given, force_reset=force_reset
        )
        return model

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Parameters of a file or of ``get_parameters``, into this model.

        Raises:
            ValueError: the file's policy is another one.
        """
        given = load_path_or_dict
        if not isinstance(given, dict):
            given = saving.read_parameters(given, self)
        super().set_parameters(given, exact_match, device)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Learn on in other environments of the same kind and number.

        Raises:
            ValueError: another number of copies, or other spaces.
        """
        vec = self._wrap_env(env, self.verbose)
        if vec.num_envs != self.n_envs:
            raise ValueError(
                f"the model learns in {self.n_envs} copies and env has {vec.num_envs}: give as "
                f"many, or load(path, env, n_envs={vec.num_envs}) to change it"
            )
        if self._normalisation is not None:
            vec = normalisation.normalised(vec, self._normalisation)
            self._normalisation = None
        for what in ("observation_space", "action_space"):
            there, here = getattr(vec, what), getattr(self, what)
            if space_to_data(there) != space_to_data(here):
                raise ValueError(f"the {what} of env is {there}, the model's is {here}")
        self.observation_space, self.action_space = vec.observation_space, vec.action_space
        super().set_env(vec, force_reset)

    def export(self, path: str | Path) -> ExportedStep:
        """One step of the policy as ONNX (``.onnx``) or a torch.export program (``.pt2``).

        The memory's state goes in and comes out by name; see `memrl.policies.export`.

        Raises:
            ValueError: another ending, a missing package, or what cannot be exported; says why.
        """
        return export_step(self.policy.net, self.policy.seen, Path(path))

    def generators(self) -> list[torch.Generator]:
        """All that draws: actions in learning, minibatches, actions in `predict`."""
        return [self.generator, self.learner.shuffler, self.policy.generator]

    def collector_state(self) -> dict[str, Any] | None:
        """What lasts from rollout to rollout; None before the first."""
        return self._kept if self._collector is None else self._collector.state_dict()

    def return_statistics(self) -> dict[str, Any] | None:
        """What the critic's returns are standardised by, if they are."""
        return None if self.return_norm is None else dict(self.return_norm.state_dict())

    def normalisation_state(self) -> dict[str, Any] | None:
        """Statistics of the environments' ``VecNormalize``, if there is one."""
        own = self._vec_normalize_env
        return self._normalisation if own is None else normalisation.statistics(own)
