"""Hydra, as memrl uses it: composing configs, errors as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memrl.config.env_overrides import CONFIGS, TRAIN, expand
from memrl.config.models import Common, Config, check
from memrl.registry import nearest

C = TypeVar("C", bound=Common)


def compose(overrides: Iterable[str] = ()) -> Config:
    """The checked config that ``memrl train OVERRIDES`` runs with.

    Raises:
        ValueError: an override that Hydra or the config's models refuse, in one sentence.
    """
    return compose_as(Config, TRAIN, expand(overrides))


def compose_as(model: type[C], root: str, overrides: Iterable[str]) -> C:
    """The checked config that overrides make of the root config of a command.

    Raises:
        ValueError: an override that Hydra or the model refuse, in one sentence.
    """
    words = list(overrides)
    try:
        with initialize_config_module(CONFIGS, version_base="1.3"):
            return resolve(hydra_compose(root, words), model)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(sentence(error, root, words)) from None


def resolve(composed: DictConfig, model: type[C]) -> C:
    """Check what Hydra composed.

    Raises:
        ValueError: a key without a default was not given, or one holds what its model refuses.
    """
    try:
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ValueError(sentence(error)) from None
    return check(cast("dict[str, Any]", plain), model)


def sentence(error: Exception, root: str = TRAIN, words: Iterable[str] = ()) -> str:
    """What a user did wrong with ``words``, out of an error of Hydra or OmegaConf."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        known = sorted(error.options)
        return f"unknown {group} {choice!r}{nearest(choice, known)} (known: {', '.join(known)})"
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is no change to the config: write KEY=VALUE, as in seed=3"
    text = " ".join(str(error).split())
    if asked := re.search(r"Could not override '(\w+)'\. No match in the defaults list", text):
        return f"{asked[1]} is not chosen yet: write +{asked[1]}=NAME"
    if key := re.search(r"Could not override '([^']+)'", text):
        command = "memrl config" if root == TRAIN else f"memrl config --{root}"
        known = _keys(root, words)
        return f"unknown key {key[1]}{nearest(key[1], known)} ({command} prints every key)"
    if missing := re.search(r"Missing mandatory value: .* full_key: (\S+)", text):
        return f"{missing[1]} has no default: write {missing[1]}=…"
    if many := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{many[1]} holds several values: add -m to train once for each of them"
    return text


def _keys(root: str, words: Iterable[str]) -> list[str]:
    """Every dotted key of a root config with the groups that ``words`` choose, such as memory."""
    chosen = [
        word for word in words if re.fullmatch(r"\+?(memory|agent|env|task|run)=[\w-]+", word)
    ]
    with initialize_config_module(CONFIGS, version_base="1.3"):
        return list(_dotted(OmegaConf.to_container(hydra_compose(root, chosen))))


def _dotted(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
