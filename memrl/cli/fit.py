"""memrl fit: one supervised run, a sweep of runs, or the continuation of one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from memrl.cli.arguments import changes_of
from memrl.cli.output import config_lines, listener
from memrl.cli.sweep import Composed, Made, play
from memrl.distributed.group import need_one_process
from memrl.pipeline.directories import refuse_taken
from memrl.pipeline.job import Result
from memrl.pipeline.job import run as run_job
from memrl.pipeline.loading import read_config_as
from memrl.plugins import plugin_words
from memrl.run.directory import RunDirectory
from memrl.supervised.config import FitConfig
from memrl.supervised.fitting import FitJob
from memrl.supervised.learner import SupervisedLearner


def start_fits(overrides: Sequence[str], *, as_json: bool) -> None:
    """Learn a task once, or with ``-m`` once for each job of a sweep."""
    need_one_process("memrl fit")
    say = listener(as_json=as_json)

    def job(composed: Composed) -> Made:
        config = composed.resolve(FitConfig)
        earlier = composed.earlier(config)
        if earlier is not None and earlier.summary.exists():
            return composed.skip(earlier, say)
        refuse_taken(config)
        built = FitJob(config)  # before anything is printed: a wrong value is told alone
        if earlier is None:
            built.take_weights()
        composed.announce(config_lines(config), say)
        run = run_job(built, earlier, style=composed.style, say=say)
        if composed.place is None:
            report(run, overrides, as_json=as_json)
        else:
            say(f"all files: {run.path}")
        return run

    play(overrides, job, model=FitConfig, as_json=as_json)


def resume_fit(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Continue a run; the only key that may change is ``sequences``.

    Raises:
        ValueError: another key was given.
        RunError: there is no run to continue.
    """
    need_one_process("memrl fit")
    directory, say = RunDirectory.open(path, command="fit"), listener(as_json=as_json)
    config = read_config_as(FitConfig, directory, **changes_of(overrides, ["sequences"], path))
    built = FitJob(config)
    for line in config_lines(config):
        say(line)
    report(run_job(built, directory, say=say), None, as_json=as_json)


def report(run: Result[SupervisedLearner], words: Sequence[str] | None, *, as_json: bool) -> None:
    """Say where the run lies and what could be next, or all that its summary holds.

    ``words`` began the run; None where they are not known.
    """
    if as_json:
        print(json.dumps({"run": str(run.path), **run.summary}))
        return
    print(f"all files: {run.path}\n")
    print("\n".join(next_commands(run, words)))


def next_commands(run: Result[SupervisedLearner], words: Sequence[str] | None) -> list[str]:
    """What to try after a run: go on with it, and put another memory beside it."""
    longer = 2 * run.summary["sequences"]
    commands = [f"train longer         {run.directory.resume_command()} sequences={longer}"]
    if words is not None:
        other = "lstm" if run.summary["memory"] == "ntm" else "ntm"
        same = [word for word in words if not word.startswith(("memory", "run.dir="))]
        again = shlex.join(["memrl", "fit", *plugin_words(), *same, f"memory={other}"])
        place, there = shlex.quote(f"run.dir={run.path}-{other}"), f"{run.path}-{other}"
        both = shlex.join(["memrl", "compare", str(run.path), there])
        commands.append(f"with another memory  {again} {place} && {both}")
    return commands
