"""memrl fit: one supervised run, a sweep of runs, or the continuation of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from memrl.cli.sweep import changes_of, compact, listener, play
from memrl.config.composition import resolve
from memrl.pipeline.directories import new_directory
from memrl.pipeline.loading import read_config_as
from memrl.run.directory import RunDirectory
from memrl.supervised.config import FitConfig
from memrl.supervised.fitting import fit_task


def start_fits(overrides: Sequence[str], *, as_json: bool) -> None:
    """Learn a task once, or with ``-m`` once for each job of a sweep."""

    def job(composed: DictConfig, words: list[str] | None) -> None:
        config = resolve(composed, FitConfig)
        report(config, new_directory(config, sweep=words is None), as_json=as_json)

    play(overrides, job, model=FitConfig)


def resume_fit(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Continue a run; the only key that may change is ``sequences``.

    Raises:
        ValueError: another key was given.
        RunError: there is no run to continue.
    """
    run = RunDirectory.open(path, command="fit")
    config = read_config_as(FitConfig, run, **changes_of(overrides, "sequences", path))
    report(config, run, as_json=as_json)


def report(config: FitConfig, target: Path | RunDirectory, *, as_json: bool) -> None:
    """Learn; say what is learned, and where the run lies."""
    say = listener(as_json=as_json)
    for line in compact(config):
        say(line)
    run = fit_task(config, target, say=say)
    if as_json:
        print(json.dumps({"run": str(run.path), **run.summary}))
    else:
        print(f"pictures, metrics and checkpoints: {run.path}")
