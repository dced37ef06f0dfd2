"""Runs that were made before: their configs, checkpoints and agents."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf

from memrl.checkpoint.folder import Checkpoint, Checkpoints
from memrl.config.models import Common, Config, check
from memrl.errors import CheckpointError, RunError
from memrl.run.directory import Command, RunDirectory

C = TypeVar("C", bound=Common)
Which: TypeAlias = Literal["last", "best"]


def find_checkpoint(directory: RunDirectory, config: Config, which: Which = "last") -> Checkpoint:
    """A checkpoint of a run that was trained with ``config``.

    Raises:
        CheckpointError: there is none yet, or none is intact.
        ValueError: neither "last" nor "best".
    """
    if which not in ("last", "best"):
        raise ValueError(f"checkpoint={which}: allowed are last and best")
    kept = checkpoints_of(directory, config)
    found = kept.last() if which == "last" else kept.best()
    if found is None:
        again = directory.resume_command()
        raise CheckpointError(f"{directory} has no {which} checkpoint yet; {again} continues it")
    return found


def checkpoints_of(directory: RunDirectory, config: Common, **options: Any) -> Checkpoints:
    """The checkpoints of a run, which must agree with ``config`` in all that shapes a state."""
    parts = config.model_dump(mode="json", include=set(config.identity))
    return Checkpoints(directory.checkpoints, fingerprint=parts, **options)


def read_config(run: RunDirectory, **changes: Any) -> Config:
    """The config of a run of ``memrl train``, as ``read_config_as``."""
    return read_config_as(Config, run, **changes)


def read_config_as(model: type[C], run: RunDirectory, **changes: Any) -> C:
    """The config of a run; keys that are given and not None replace what it says.

    Raises:
        RunError: its config.yaml is not readable as one, or another command made it.
        ValueError: a change that the config's model refuses.
    """
    changed = {key: value for key, value in changes.items() if value is not None}
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.load(run.config))
        made_by: Command = "fit" if "task" in plain else "train"
        if made_by != run.command:
            raise RunError(f"{run} was made by memrl {made_by}, which this command cannot use")
        check(plain, model)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise RunError(f"{run.config} does not hold a config of this version: {error}") from error
    return check({**plain, **changed}, model)
