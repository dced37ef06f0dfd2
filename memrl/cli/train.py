"""memrl train: one run, a sweep of runs, or the continuation of one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from memrl.cli.arguments import changes_of
from memrl.cli.output import config_lines, listener
from memrl.cli.sweep import Composed, play
from memrl.config.composition import compose
from memrl.config.env_overrides import expand
from memrl.config.models import Config
from memrl.envs.make import family_of
from memrl.evaluation.run_labels import dotted_items
from memrl.pipeline.build import check_env
from memrl.pipeline.directories import refuse_taken
from memrl.pipeline.loading import read_config
from memrl.pipeline.trained import Run
from memrl.pipeline.training import TrainJob, train_job
from memrl.plugins import plugin_words
from memrl.run.directory import RunDirectory


def start_runs(overrides: Sequence[str], *, as_json: bool) -> None:
    """Train once, or with ``-m`` once for each job of a sweep."""
    say = listener(as_json=as_json)

    def job(composed: Composed) -> Run:
        config = composed.resolve(Config)
        check_env(config.env)
        refuse_taken(config)
        built = TrainJob(config)  # before anything is printed: a wrong value is told alone
        built.take_weights()
        composed.announce(config_lines(config), say)
        run = train_job(built, say=say)
        if composed.place is None:
            report(run, config, overrides, as_json=as_json)
        else:
            say(f"all files: {run.path}")
        return run

    play(expand(overrides), job, model=Config, as_json=as_json)


def resume_run(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Continue a run; the only key that may change is ``total_steps``.

    Raises:
        ValueError: another key was given.
        RunError: there is no run to continue.
    """
    directory, say = RunDirectory.open(path), listener(as_json=as_json)
    config = read_config(directory, **changes_of(overrides, "total_steps", path))
    check_env(config.env)
    built = TrainJob(config)
    for line in config_lines(config):
        say(line)
    report(train_job(built, directory, say=say), config, words_of(config), as_json=as_json)


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
