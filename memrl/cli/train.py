"""memrl train: one run, a sweep of runs, or the continuation of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from memrl.cli.sweep import changes_of, compact, listener, play
from memrl.config.composition import compose, resolve
from memrl.config.env_overrides import TRAIN, expand
from memrl.config.models import Config
from memrl.envs.make import check, family_of
from memrl.evaluation.run_labels import flattened
from memrl.pipeline.directories import new_directory
from memrl.pipeline.loading import read_config
from memrl.pipeline.trained import Run
from memrl.pipeline.training import train
from memrl.run.directory import RunDirectory


def start_runs(overrides: Sequence[str], *, as_json: bool) -> None:
    """Train once, or with ``-m`` once for each job of a sweep."""

    def job(composed: DictConfig, words: list[str] | None) -> None:
        config = resolve(composed, Config)
        target = new_directory(config, sweep=words is None)
        report(config, target, as_json=as_json, words=words)

    play(expand(overrides), job, root=TRAIN, command="memrl train")


def resume_run(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Continue a run; the only key that may change is ``total_steps``.

    Raises:
        ValueError: another key was given.
        RunError: there is no run to continue.
    """
    run = RunDirectory.open(path)
    config = read_config(run, **changes_of(overrides, "total_steps", path))
    report(config, run, as_json=as_json, words=words_of(config))


def report(
    config: Config,
    target: Path | RunDirectory,
    *,
    as_json: bool,
    words: Sequence[str] | None = None,
) -> None:
    """Train; say what is trained and, if ``words`` of the command are given, what could be next."""
    check(config.env.id, family=config.env.family, **(config.env.model_extra or {}))
    say = listener(as_json=as_json)
    for line in compact(config):
        say(line)
    run = train(config, target, say=say)
    if as_json:
        print(json.dumps({"run": str(run.path), **run.summary}))
    elif words is not None:
        memory = config.memory["name"] if config.agent.any_memory else None
        print("\n".join(["", *next_commands(run, memory, words)]))
    else:
        print(f"pictures, metrics and checkpoints: {run.path}")


def next_commands(run: Run, memory: str | None, words: Sequence[str]) -> list[str]:
    """What to try after a run that ``words`` began: watch it, its control, another memory.

    ``memory`` is None where the agent has no choice of them.
    """
    same = " ".join(word for word in words if not word.startswith(("memory", "run.dir=")))
    again = f"memrl train {same}".rstrip()
    other = "lstm" if memory == "dnc" else "dnc"
    commands = [] if memory is None else [f"with another memory  {again} memory={other}"]
    if memory not in (None, "none"):
        commands.insert(
            0,
            f"without a memory     {again} memory=none run.dir={run.path}-none"
            f" && memrl compare {run.path} {run.path}-none",
        )
    if (run.path / "episode.gif").exists():
        commands.insert(0, f"watch it             memrl watch {run.path}")
    return commands


def words_of(config: Config) -> list[str]:
    """The words that make this config, but for its memory and its place, out of the defaults."""
    env = config.env
    short = family_of(env.id) == env.family
    words = [f"env={env.id}"] if short else [f"env={env.family}", f"env.id={env.id}"]
    words += [f"agent={config.agent.kind}"] if config.agent.kind != "ppo" else []
    usual = dict(flattened(compose(words).model_dump(mode="json")))
    for key, value in flattened(config.model_dump(mode="json")):
        if key.startswith(("memory.", "run.")) or (key in usual and usual[key] == value):
            continue
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        words.append(f"{'' if key in usual else '+'}{key}={text}")
    return words
