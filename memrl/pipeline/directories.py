"""Where a new run is written, and how an earlier one is continued."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from omegaconf import OmegaConf

from memrl.checkpoint.atomic import write_atomically
from memrl.checkpoint.folder import Checkpoint
from memrl.config.choices import modules_of
from memrl.config.models import Common
from memrl.pipeline.loading import checkpoints_of
from memrl.run.directory import RunDirectory


def new_directory(config: Common, *, sweep: bool = False) -> Path:
    """Where a new run goes: ``run.dir``, or a name of its own under ``run.root``.

    The jobs of a sweep share their config's ``run.dir``: each gets a directory inside it.
    """
    if config.run.dir is not None and not sweep:
        return config.run.dir
    # Names that scp, rsync and TensorBoard take: no slash, no colon.
    name = re.sub(r"[/:]+", "-", f"{config.subject}-{config.learner_name}-seed{config.seed}")
    root = config.run.dir or config.run.root
    tries = (root / (f"{name}-{n}" if n > 1 else name) for n in range(1, 1_000_000))
    return next(path for path in tries if not path.exists())


def open_directory(
    config: Common,
    target: Path | RunDirectory | None,
    unit: str,
    say: Callable[[str], None],
) -> tuple[RunDirectory, Checkpoint | None]:
    """The directory of a run, and the checkpoint to continue from.

    Args:
        config: of the run.
        target: where a new run goes, by default ``new_directory``; an opened one is continued.
        unit: of what a checkpoint counts, for the person at the terminal.
        say: receives sentences for that person.

    Raises:
        RunError: the directory is taken, the disk is full, or no checkpoint of a run to be
            continued is intact.
    """
    if not isinstance(target, RunDirectory):
        path = target or new_directory(config)
        directory = RunDirectory.create(path, dump(config), command=config.command)
        directory.write_plugins(modules_of(config.model_dump(mode="json"), config.menus))
        return directory, None
    resume = checkpoints_of(target, config, warn=say).last()
    if resume is None:
        say(f"{target} has no checkpoint yet: it starts anew from its config.yaml")
    else:
        say(f"continuing {target} after {resume.experience:,} {unit.replace('_', ' ')}")
    write_atomically(target.config, dump(config).encode())  # its length may have changed
    return target, resume


def dump(config: Common) -> str:
    """The config as YAML, the way a run keeps it."""
    return OmegaConf.to_yaml(config.model_dump(mode="json"))
