"""A run's directory and the names of its files."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, final

from memrl.checkpoint.atomic import TEMPORARY, write_atomically
from memrl.errors import RunError, disk_errors_explained, nearest
from memrl.run.lock import LOCK

_CONFIG: Final = "config.yaml"
_PLUGINS: Final = "plugins.json"
Command: TypeAlias = Literal["train", "fit"]


@final
class RunDirectory:
    """The files of one run, by name. ``create`` makes a new run, ``open`` opens an existing one.

    Args:
        path: the directory.
        command: the command that made the run and continues it.
    """

    def __init__(self, path: str | os.PathLike[str], *, command: Command = "train") -> None:
        self.path, self.command = Path(path), command
        self.config = self.path / _CONFIG
        self.plugins = self.path / _PLUGINS
        self.metrics = self.path / "metrics.csv"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.curve = self.path / "curve.png"
        self.episode = self.path / "episode.gif"
        self.lengths = self.path / "lengths.png"
        self.groups = self.path / "groups.png"
        self.alignment = self.path / "alignment.png"
        self.memory = self.path / "memory.png"
        self.page = self.path / "inspect.html"
        self.probe = self.path / "probe.json"
        self.summary = self.path / "summary.json"

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config: str,
        *,
        command: Command = "train",
        plugins: Mapping[str, str] | None = None,
    ) -> RunDirectory:
        """Make the directory of a new run and write to it what opens it again.

        Args:
            path: of the directory.
            config: YAML text. It is written last, since a directory that has it is a run.
            command: the command that makes the run.
            plugins: the user's modules that the run uses, with the folder of each.

        Raises:
            RunError: as ``refuse_taken``; or the disk is full.
        """
        run = cls(path, command=command)
        run.make()
        run.plugins.unlink(missing_ok=True)
        if plugins:
            write_atomically(run.plugins, f"{json.dumps(plugins, indent=2)}\n".encode())
        write_atomically(run.config, config.encode())
        return run

    def make(self) -> None:
        """Make the directory itself, unless it is there and empty.

        Raises:
            RunError: as ``refuse_taken``; or the disk is full.
        """
        self.refuse_taken()
        with disk_errors_explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def refuse_taken(self) -> None:
        """Refuse a directory that a new run cannot have.

        Raises:
            RunError: the path is a file, or a directory that is not empty.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"run.dir={self} is a file: choose another run.dir")
        if self.path.is_dir() and not all(map(_is_left_over, self.path.iterdir())):
            there = "a run" if self.config.is_file() else "other files"
            remedy = ", or continue that run with --resume" if self.config.is_file() else ""
            raise RunError(
                f"run.dir={self} already contains {there}: choose another run.dir{remedy}"
            )

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, command: Command = "train") -> RunDirectory:
        """Open an existing run.

        Raises:
            RunError: there is no such directory, or it has no config.yaml.
        """
        run = cls(path, command=command)
        if not run.path.is_dir():
            beside = [str(path.parent) for path in run.path.parent.glob(f"*/{_CONFIG}")]
            hint = nearest(str(run), beside)
            raise RunError(f"there is no run at {run}: give the directory of a run{hint}")
        if not run.config.is_file():
            raise RunError(f"{run} is not a run: it has no {_CONFIG}")
        return run

    def pictures(self) -> dict[str, Path]:
        """The pictures that have been drawn, and the page of ``memrl inspect``, by name."""
        drawn = [self.curve, self.episode, self.memory, self.lengths, self.groups, self.alignment]
        return {path.stem: path for path in [*drawn, self.page] if path.exists()}

    def resume_command(self) -> str:
        """The shell command that continues this run."""
        return f"memrl {self.command} --resume {shlex.quote(str(self))}{self.plugin_options()}"

    def plugin_options(self) -> str:
        """The options that a command needs to open this run: `` --plugin leaky``, or nothing."""
        return "".join(f" --plugin {module}" for module in self.read_plugins())

    def read_plugins(self) -> dict[str, str]:
        """The user's modules that this run uses, with the folder of each.

        Raises:
            RunError: the file is damaged.
        """
        try:
            places = json.loads(self.plugins.read_bytes())
            return {str(module): str(folder) for module, folder in places.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as error:
            raise RunError(f"{self.plugins} is damaged: {error}") from error


def _is_left_over(file: Path) -> bool:
    """Whether a process left a file that was killed before it had begun its run."""
    return file.name in (LOCK, _PLUGINS) or (file.name.startswith(".") and file.suffix == TEMPORARY)


def runs_in(folder: Path) -> Iterator[Path]:
    """The runs in a folder and the folders in it, by name; ``folder`` itself if it is a run."""
    for path, folders, files in os.walk(folder):
        if _CONFIG in files:
            yield Path(path)
            folders.clear()  # a run holds no runs
        folders[:] = sorted(name for name in folders if not name.startswith("."))
