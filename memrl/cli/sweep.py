"""Overrides go to Hydra, which calls back with one composed config for each job."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from memrl.cli.arguments import values
from memrl.config.composition import sentence, with_own_folders
from memrl.config.env_overrides import CONFIGS
from memrl.config.models import Common
from memrl.config.nodes import add_nodes, with_options

Job: TypeAlias = Callable[[DictConfig, list[str] | None], None]
Say: TypeAlias = Callable[[str], None]


def play(words: Sequence[str], job: Job, *, model: type[Common]) -> None:
    """Call ``job`` once, or with ``-m`` once for each job of a sweep.

    Args:
        words: overrides, and flags of Hydra.
        job: takes a composed config and the words it was made from; None stands for a sweep's.
        model: of the config.

    Raises:
        ValueError: words that Hydra refuses, in one sentence; or code of the person's own that is
            not there, does not import, or is no such class.
    """
    words = with_options(with_own_folders(words), model.menus)
    add_nodes(words, model.menus)
    failed: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name=model.root)
    def main(composed: DictConfig) -> None:
        sweep = HydraConfig.get().mode is RunMode.MULTIRUN
        try:
            job(composed, None if sweep else list(HydraConfig.get().overrides.task))
        except Exception as error:
            if sweep:
                raise  # Hydra plays the other jobs, then names this one
            failed.append(error)  # raised through Hydra, it would come with Hydra's own words

    with _as_hydra_is_called(f"memrl {model.command}", words):
        try:
            main()
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(sentence(error, model, words)) from None
    if failed:
        raise failed[0]


def changes_of(words: Sequence[str], allowed: str, path: object) -> dict[str, Any]:
    """What the words of a ``--resume`` change.

    Raises:
        ValueError: a key other than the one that may change, or a word without a value.
    """
    changes = values(words)
    if changes.keys() - {allowed}:
        other = ", ".join(sorted(changes.keys() - {allowed}))
        raise ValueError(
            f"--resume continues {path} as configured: only {allowed} may change, not {other}"
        )
    return changes


def listener(*, as_json: bool) -> Say:
    """Where sentences go: stdout, unless one JSON value shall be all that it holds."""
    return _to_stderr if as_json else print


def compact(config: Common) -> Iterator[str]:
    """The config, a line for each group, in the words that change it."""
    plain = config.model_dump(mode="json")
    yield " " * 11 + " ".join(_words({k: v for k, v in plain.items() if type(v) is not dict}))
    for key, group in plain.items():
        if isinstance(group, dict):
            yield f"{key:10} " + " ".join(_words(group))


def _words(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _words(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}"


@contextmanager
def _as_hydra_is_called(command: str, words: Sequence[str]) -> Iterator[None]:
    """Hydra reads ``sys.argv``, and leaves errors to us when it may show them in full."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [command, *words]
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
