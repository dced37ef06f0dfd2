"""The run that an equal config made before: with one seed, a second one would be the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from memrl.config.models import Common
from memrl.errors import RunError
from memrl.pipeline.directories import name_of
from memrl.pipeline.loading import read_config_as
from memrl.run.directory import RunDirectory

# Where a run writes, who is told of it, and how many cores it has do not make another run of it.
_NO_DIFFERENCE: Final = ("run", "track", "threads")


def earlier_run(config: Common) -> RunDirectory | None:
    """The run under ``run.root`` that an equal config made; a finished one, if there is one.

    Only directories that carry the name of such a run, or that name and a number, are read.
    """
    name, root = name_of(config), config.run.root
    named = re.compile(rf"{re.escape(name)}(-\d+)?")
    wanted, found = essence(config), None
    for path in sorted(root.glob("*")) if root.is_dir() else []:
        run = RunDirectory(path, command=config.command)
        if not named.fullmatch(path.name) or not run.config.is_file():
            continue
        if _config_of(run, type(config)) == wanted:
            found = run
            if run.summary.exists():
                break
    return found


def _config_of(run: RunDirectory, model: type[Common]) -> dict[str, Any] | None:
    """What a run was made of; None where this version or this process cannot read it."""
    try:
        return essence(read_config_as(model, run))
    except (RunError, ValueError):
        return None


def essence(config: Common, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The keys of a config that make a run what it is, as plain values."""
    return config.model_dump(mode="json", exclude={*_NO_DIFFERENCE, *without})
