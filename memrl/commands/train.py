"""memrl train: overrides go to Hydra, which calls back with one composed config for each job."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memrl.assemble import new_directory, read_config
from memrl.composition import CONFIGS, expand, resolve, sentence
from memrl.config import Config
from memrl.experiment import Run, train
from memrl.run.directory import RunDirectory


def start_runs(overrides: Sequence[str], *, as_json: bool) -> None:
    """Train once, or with ``-m`` once for each job of a sweep."""
    failed: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name="config")
    def job(composed: DictConfig) -> None:
        sweep = HydraConfig.get().mode is RunMode.MULTIRUN
        try:
            config = resolve(composed)
            words = None if sweep else list(HydraConfig.get().overrides.task)
            report(config, new_directory(config, sweep=sweep), as_json=as_json, words=words)
        except Exception as error:
            if sweep:
                raise  # Hydra plays the other jobs, then names this one
            failed.append(error)  # raised through Hydra, it would come with Hydra's own words

    with _as_hydra_is_called(expand(overrides)):
        try:
            job()
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(sentence(error)) from None
    if failed:
        raise failed[0]


def resume_run(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Continue a run; the only key that may change is ``total_steps``.

    Raises:
        ValueError: another key was given.
        RunError: there is no run to continue.
    """
    run = RunDirectory.open(path)
    changes: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    if changes.keys() - {"total_steps"}:
        other = ", ".join(sorted(changes.keys() - {"total_steps"}))
        raise ValueError(
            f"--resume continues {path} as configured: only total_steps may change, not {other}"
        )
    config = read_config(run, **changes)
    words = [f"env={config.env.id}", f"total_steps={config.total_steps}"]
    report(config, run, as_json=as_json, words=words)


def report(
    config: Config,
    target: Path | RunDirectory,
    *,
    as_json: bool,
    words: Sequence[str] | None = None,
) -> None:
    """Train; say what is trained and, if ``words`` of the command are given, what could be next."""
    say: Callable[[str], None] = _to_stderr if as_json else print
    for line in compact(config):
        say(line)
    run = train(config, target, say=say)
    if as_json:
        print(json.dumps({"run": str(run.path), **run.summary}))
    elif words is not None:
        print("\n".join(next_commands(run, config.memory["name"], words)))


def compact(config: Config) -> Iterator[str]:
    """The config, a line for each group, in the words that change it."""
    plain = config.model_dump(mode="json")
    yield "         " + " ".join(_words({k: v for k, v in plain.items() if type(v) is not dict}))
    for key, group in plain.items():
        if isinstance(group, dict):
            yield f"{key:9}" + " ".join(_words(group))


def next_commands(run: Run, memory: str, words: Sequence[str]) -> list[str]:
    """Three things to try after a run that ``words`` began."""
    same = " ".join(word for word in words if not word.startswith(("memory", "run.dir=")))
    again = f"memrl train {same}".rstrip()
    other = "lstm" if memory == "dnc" else "dnc"
    return [
        "",
        f"watch it             memrl watch {run.path}",
        f"without a memory     {again} memory=none run.dir={run.path}-none"
        f" && memrl compare {run.path} {run.path}-none",
        f"with another memory  {again} memory={other}",
    ]


def _words(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _words(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}"


@contextmanager
def _as_hydra_is_called(words: Sequence[str]) -> Iterator[None]:
    """Hydra reads ``sys.argv``, and leaves errors to us when it may show them in full."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["memrl train", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
