"""Runs that were made before: their configs, checkpoints and agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf
from pydantic import BaseModel

from memrl.checkpoint.file import DATA
from memrl.checkpoint.folder import Checkpoint, Checkpoints
from memrl.config.choices import refuse_unnamed
from memrl.config.models import Common, Config, check
from memrl.errors import CheckpointError, RunError
from memrl.memory import registry
from memrl.plugins import import_plugin
from memrl.run.directory import Command, RunDirectory

C = TypeVar("C", bound=Common)
Which: TypeAlias = Literal["last", "best"]
_USES: Final[dict[Command, str]] = {
    "train": "memrl evaluate, watch, inspect, probe, export, compare and train --resume take it",
    "fit": "memrl evaluate, compare and memrl fit --resume take it",
}


def import_plugins(modules: Iterable[str], *runs: RunDirectory) -> None:
    """Import modules that a person named; they may lie where they lay when runs were made.

    Raises:
        ValueError: there is no such module, or it does not import.
    """
    for module in modules:
        known = [run.read_plugins().get(module) for run in runs]
        import_plugin(module, [folder for folder in known if folder is not None])


def find_checkpoint(
    directory: RunDirectory,
    config: Common,
    which: Which = "last",
    *,
    data: Mapping[str, str] | None = None,
) -> Checkpoint:
    """A checkpoint of a run that was trained with ``config``, from files with digests ``data``.

    Raises:
        CheckpointError: there is none yet, or none is intact.
        ValueError: neither "last" nor "best".
    """
    if which not in ("last", "best"):
        raise ValueError(f"checkpoint={which}: allowed are last and best")
    kept = checkpoints_of(directory, config, data=data)
    found = kept.last() if which == "last" else kept.best()
    if found is None:
        again = directory.resume_command()
        raise CheckpointError(f"{directory} has no {which} checkpoint yet; {again} continues it")
    return found


def checkpoints_of(
    directory: RunDirectory,
    config: Common,
    *,
    data: Mapping[str, str] | None = None,
    warn: Callable[[str], None] = print,
) -> Checkpoints:
    """The checkpoints of a run, which must agree with it in all that shapes a state.

    Args:
        directory: of the run.
        config: its ``identity`` must agree.
        data: digests of the files that are learned from, by their paths, which must agree too.
        warn: receives a sentence if a damaged file is skipped.
    """
    parts = config.model_dump(mode="json", include=set(config.identity))
    if data:
        parts[DATA] = dict(data)
    return Checkpoints(
        directory.checkpoints, fingerprint=parts, defaults=_defaults(config), warn=warn
    )


def _defaults(config: Common) -> dict[str, Any]:
    """The defaults of a config's groups: those of options that older checkpoints lack."""
    groups = {key: getattr(config, key) for key in config.identity}
    models: dict[str, type[BaseModel]] = {
        key: type(group) for key, group in groups.items() if isinstance(group, BaseModel)
    }
    models["memory"] = registry.schema(config.memory["name"])
    return {key: model.model_construct().model_dump(mode="json") for key, model in models.items()}


def read_config(run: RunDirectory, **changes: Any) -> Config:
    """The config of a run of ``memrl train``, as ``read_config_as``."""
    return read_config_as(Config, run, **changes)


def read_config_as(model: type[C], run: RunDirectory, **changes: Any) -> C:
    """The config of a run; keys that are given and not None replace what it says.

    Raises:
        RunError: its config.yaml is not readable as one, another command made it, or it was made
            with a module that nobody named.
        ValueError: a change that the config's model refuses.
    """
    changed = {key: value for key, value in changes.items() if value is not None}
    plain = read_plain(run)
    if (made_by := command_of(plain)) != run.command:
        raise RunError(f"{run} was made by memrl {made_by}: {_USES[made_by]}")
    try:
        refuse_unnamed(plain, model.menus, run.read_plugins(), str(run))
        check(plain, model)
    except ValueError as error:
        raise _unreadable(run, error) from error
    return check({**plain, **changed}, model)


def read_plain(run: RunDirectory) -> dict[str, Any]:
    """The config of a run as plain values, unchecked: no module is needed for it.

    Raises:
        RunError: its config.yaml is damaged.
    """
    try:
        return dict(cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(run.config))))
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise _unreadable(run, error) from error


def command_of(plain: Mapping[str, Any]) -> Command:
    """The command that made a run with this config."""
    return "fit" if "task" in plain else "train"


def _unreadable(run: RunDirectory, error: Exception) -> RunError:
    return RunError(f"{run.config} does not hold a config of this version: {error}")
