"""Where a new run is written, and how an earlier one is continued."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from omegaconf import OmegaConf

from memrl.checkpoint.atomic import write_atomically
from memrl.checkpoint.folder import Checkpoint
from memrl.config.choices import modules_of
from memrl.config.models import Common
from memrl.distributed.restart import forget, remember, remembered
from memrl.errors import RunError, disk_errors_explained
from memrl.pipeline.loading import checkpoints_of, read_plain
from memrl.pipeline.ranks import same_directory
from memrl.run.directory import RunDirectory
from memrl.run.lock import locked
from memrl.tracking.metrics_file import unit_as_text

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_LONGEST: Final = 200  # bytes; file systems take 255, and a number may follow


@contextmanager
def open_directory(
    config: Common,
    target: Path | RunDirectory | None,
    unit: str,
    say: Callable[[str], None],
    *,
    data: Mapping[str, str] | None = None,
) -> Iterator[tuple[RunDirectory, Checkpoint | None]]:
    """The directory of a run, locked, and the checkpoint to continue from.

    Of several ranks, rank 0 opens it; the others take it from ``same_directory``.

    Args:
        config: of the run.
        target: where a new run goes, by default ``run.dir`` or a new directory under ``run.root``;
            an opened one is continued.
        unit: of what a checkpoint counts, for the person at the terminal.
        say: receives sentences for that person.
        data: digests of the files that are learned from, by their paths.

    Raises:
        RunError: the directory is taken, or is being trained; the disk is full, or no checkpoint of
            a run to be continued is intact.
    """
    if isinstance(target, RunDirectory):
        with locked(target.path):
            same_directory(target, continued=True)
            yield target, _resumed(config, target, unit, say, data)
        return
    path = target or config.run.dir or make_directory(config.run.root, name_of(config))
    RunDirectory(path).make()
    with locked(Path(path)):
        remember(_restart_key(config), str(Path(path).absolute()))
        plugins = modules_of(config.model_dump(mode="json"), config.menus)
        directory = RunDirectory.create(path, dump(config), command=config.command, plugins=plugins)
        same_directory(directory)
        yield directory, None


def restarted(config: Common) -> Path | RunDirectory | None:
    """The run of this config that the launcher of these ranks has begun and not finished.

    torchrun starts all ranks anew, with the same command, when one has ended. The directory was
    chosen by the first of them; None: there were none.
    """
    if (place := remembered(_restart_key(config))) is None:
        return None
    directory = RunDirectory(place, command=config.command)
    return directory if directory.config.is_file() else directory.path


def finished(config: Common) -> None:
    """Forget where this config was trained: the next run of it is another."""
    forget(_restart_key(config))


def _restart_key(config: Common) -> str:
    return hashlib.sha256(dump(config).encode()).hexdigest()


def _resumed(
    config: Common,
    run: RunDirectory,
    unit: str,
    say: Callable[[str], None],
    data: Mapping[str, str] | None,
) -> Checkpoint | None:
    """The last checkpoint of a run that is continued as ``config`` says; None if there is none."""
    resume = checkpoints_of(run, config, data=data, warn=say).resumable()
    if resume is None:
        say(f"{run} has no checkpoint yet: it starts from the beginning, with its config.yaml")
    else:
        _check_total(config, run, resume.experience, unit_as_text(unit), say)
        say(f"continuing {run} after {resume.experience:,} {unit_as_text(unit)}")
    write_atomically(run.config, dump(config).encode())  # its length may have changed
    return resume


def _check_total(
    config: Common, run: RunDirectory, seen: int, unit: str, say: Callable[[str], None]
) -> None:
    """Refuse a length that the run is past, and say what another one does to schedules.

    Raises:
        RunError: fewer than ``seen`` env steps or sequences are asked for now.
    """
    key, total, before = config.total_key, config.total, int(read_plain(run)[config.total_key])
    if total == before:
        return
    if total < seen:
        raise RunError(f"{key}={total:,}: {run} has {seen:,} {unit} already; ask for more of them")
    now, then = (config.schedules(min(1.0, seen / whole)) for whole in (total, before))
    moved = [f"{name} is {now[name]:.3g}, not {then[name]:.3g}" for name in now
             if now[name] != then[name]]  # fmt: skip
    if moved:
        say(
            f"{key}={total:,}, not {before:,}, moves the schedules that end with the run: "
            f"from here on {', '.join(moved)}"
        )


def refuse_taken(config: Common) -> None:
    """Refuse a config whose ``run.dir`` is taken, before anything else is said or made.

    Raises:
        RunError: it is a file, or a directory that is not empty.
    """
    if config.run.dir is not None:
        RunDirectory(config.run.dir).refuse_taken()


def make_directory(root: Path, name: str) -> Path:
    """Make the first of ``name``, ``name-2``, … under ``root`` that does not exist yet.

    Of several processes that ask at the same moment, each gets a directory of its own.

    Raises:
        RunError: the disk is full, or ``root`` cannot be written to.
    """
    with disk_errors_explained(root):
        root.mkdir(parents=True, exist_ok=True)
        for n in count(1):
            path = root / (f"{name}-{n}" if n > 1 else name)
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    raise AssertionError("there is always another number")


def name_of(config: Common) -> str:
    """What a run is called where nobody named it: task, learner and seed."""
    return f"{path_name(f'{config.subject}-{config.learner_name}')}-seed{config.seed}"


def path_name(text: str) -> str:
    """``text`` as the name of one directory that scp, rsync, TensorBoard and shells take.

    Letters and digits of any script, ``_``, ``.`` and ``-`` stay; a run of anything else becomes
    one ``-``. A name never begins with ``.`` (hidden) or ``-`` (an option), and is never empty.
    """
    name = _UNSAFE.sub("-", text).strip("-.")
    return name.encode()[:_LONGEST].decode(errors="ignore") or "run"


def dump(config: Common) -> str:
    """The config as YAML, as a run keeps it: keys that nothing reads have their defaults."""
    return OmegaConf.to_yaml(config.model_dump(mode="json"))
