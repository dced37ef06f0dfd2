"""memrl train: one run, a sweep of runs, or the continuation of one."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Final

from memrl.cli.arguments import changes_of
from memrl.cli.output import config_lines, listener
from memrl.cli.sweep import Composed, Made, play
from memrl.cluster.connection import need_ray
from memrl.cluster.training import train_on_cluster
from memrl.config.composition import compose
from memrl.config.env_overrides import expand
from memrl.config.models import Config
from memrl.distributed.collectives import rank
from memrl.distributed.group import Joined, is_started_as_rank, joined
from memrl.distributed.launch import launch, launcher_of_this_process
from memrl.envs.make import family_of
from memrl.evaluation.run_labels import dotted_items
from memrl.pipeline.build import check_env
from memrl.pipeline.directories import refuse_taken
from memrl.pipeline.loading import read_config
from memrl.pipeline.ranks import need_data_parallel
from memrl.pipeline.trained import Run
from memrl.pipeline.training import TrainJob, train_job
from memrl.plugins import plugin_words
from memrl.run.directory import RunDirectory
from memrl.run.parent import watch_parent

RESUMED: Final = ("total_steps", "workers")


def start_runs(overrides: Sequence[str], *, as_json: bool) -> None:
    """Train once, or with ``-m`` once for each job of a sweep."""

    def job(composed: Composed) -> Made | None:
        config = composed.resolve(Config)
        check_env(config.env)
        if is_started_as_rank() or config.workers > 1 or config.launcher == "ray":
            refuse_sweep(composed)
        earlier = composed.earlier(config)
        if earlier is not None and earlier.summary.exists():
            return composed.skip(earlier, listener(as_json=as_json))
        if not is_started_as_rank():
            refuse_taken(config)
            if config.launcher == "ray":
                start_on_ray(config, None, overrides, as_json=as_json)
                return None
            if config.workers > 1:
                start_ranks(config, overrides, as_json=as_json)
                return None
        with as_rank(config) as membership:
            say = listener(as_json=as_json, silent=rank() > 0)
            # Before anything is printed: a wrong value is told alone.
            built = TrainJob(config, membership)
            if rank() == 0 and earlier is None:
                built.take_weights()
            composed.announce(config_lines(config), say)
            first = rank() == 0
            run = train_job(built, earlier, style=composed.style, say=say)
        if composed.place is not None:
            say(f"all files: {run.path}")
        elif first:
            report(run, config, overrides, as_json=as_json)
        return run

    play(expand(overrides), job, model=Config, as_json=as_json)


def resume_run(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Continue a run; of its keys only those of ``RESUMED`` may change.

    Raises:
        ValueError: another key was given.
        RunError: there is no run to continue.
    """
    directory = RunDirectory.open(path)
    config = read_config(directory, **changes_of(overrides, RESUMED, path))
    check_env(config.env)
    if config.launcher == "ray" and not is_started_as_rank():
        start_on_ray(config, directory, words_of(config), as_json=as_json)
        return
    if config.workers > 1 and not is_started_as_rank():
        start_ranks(config, ["--resume", str(path), *overrides], as_json=as_json)
        return
    with as_rank(config) as membership:
        say, first = listener(as_json=as_json, silent=rank() > 0), rank() == 0
        built = TrainJob(config, membership)
        for line in config_lines(config):
            say(line)
        run = train_job(built, directory, say=say)
    if first:
        report(run, config, words_of(config), as_json=as_json)


@contextmanager
def as_rank(config: Config) -> Iterator[Joined]:
    """Be one of the ranks, where this process was started as one: see `joined`.

    When the launcher of the ranks has ended, which could pass signals on, they stop by themselves.
    Rank 0 warns for all of them: they have the same config.
    """
    _stop_with_launcher()
    with joined(config.device) as membership, warnings.catch_warnings():
        if rank() > 0:
            warnings.simplefilter("ignore")
            logging.getLogger("memrl").setLevel(logging.ERROR)
        yield membership


def _stop_with_launcher() -> None:
    """Save and end, as after SIGTERM, once the process that started this one is gone."""
    launcher = launcher_of_this_process()
    if launcher is not None:
        watch_parent(launcher, lambda: os.kill(os.getpid(), SIGTERM))


def start_ranks(config: Config, words: Sequence[str], *, as_json: bool) -> None:
    """Start ``config.workers`` processes that train together, with the words of this one.

    Raises:
        ValueError: the agent cannot be trained so.
        RanksFailed: one of them failed, or all were stopped.
    """
    _stop_with_launcher()
    need_data_parallel(config, config.workers)
    flags = ["--json"] * as_json + ["--debug"] * ("--debug" in sys.argv)
    launch(["train", *words, *flags, *plugin_words()], config.workers)


def start_on_ray(
    config: Config, directory: RunDirectory | None, words: Sequence[str], *, as_json: bool
) -> None:
    """Train on a cluster of Ray, and report.

    Raises:
        ValueError: the agent cannot be trained so, or Ray is not installed.
        RunError: no cluster answers, or training failed.
    """
    need_data_parallel(config, config.workers)
    need_ray("ray.train.torch")
    say = listener(as_json=as_json)
    for line in config_lines(config):
        say(line)
    run = train_on_cluster(config, directory)
    report(Run(run, config), config, words, as_json=as_json)


def refuse_sweep(composed: Composed) -> None:
    """Raise ValueError in a sweep: its runs would begin in several processes at once."""
    if composed.place is not None:
        raise ValueError(
            "a sweep (-m) trains each run in one process (allowed: workers=1 and launcher=local, "
            "without torchrun)"
        )


def report(run: Run, config: Config, words: Sequence[str], *, as_json: bool) -> None:
    """Say what could be next after a run that ``words`` began, or all that its summary holds."""
    if as_json:
        print(json.dumps({"run": str(run.path), **run.summary}))
    else:
        memory = config.memory["name"] if config.agent.any_memory else None
        filmed = (run.path / "episode.gif").exists() or not config.run.pictures
        print("\n".join(["", *next_commands(run, memory, words, filmed=filmed)]))


def next_commands(run: Run, memory: str | None, words: Sequence[str], *, filmed: bool) -> list[str]:
    """What to try after a run that ``words`` began: watch it, its control, another memory.

    ``memory`` is None where the agent has no choice of them; ``filmed``: the task can be watched.
    """
    plugins = RunDirectory.open(run.path).plugin_options()
    same = [word for word in words if not word.startswith(("memory", "run.dir="))]
    again = shlex.join(["memrl", "train", *plugin_words(), *same])
    here = shlex.quote(str(run.path))
    other = "lstm" if memory == "dnc" else "dnc"
    commands = [] if memory is None else [f"with another memory  {again} memory={other}"]
    if memory not in (None, "none"):
        place, control = shlex.quote(f"run.dir={run.path}-none"), shlex.quote(f"{run.path}-none")
        commands.insert(
            0,
            f"without a memory     {again} memory=none {place} && memrl compare {here} {control}",
        )
    if filmed:
        commands.insert(0, f"watch it             memrl watch {here}{plugins}")
    return commands


def words_of(config: Config) -> list[str]:
    """The words that make this config, but for its memory and its place, out of the defaults."""
    env = config.env
    short = family_of(env.id) == env.family
    words = [f"env={env.id}"] if short else [f"env={env.family}", f"env.id={env.id}"]
    words += [f"agent={config.agent.kind}"] if config.agent.kind != "ppo" else []
    usual = dict(dotted_items(compose(words).model_dump(mode="json")))
    for key, value in dotted_items(config.model_dump(mode="json")):
        if key.startswith(("memory.", "run.")) or (key in usual and usual[key] == value):
            continue
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        words.append(f"{'' if key in usual else '+'}{key}={text}")
    return words
