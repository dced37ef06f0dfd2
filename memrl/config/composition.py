"""Hydra, as memrl uses it: composing configs, errors as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memrl.config.choices import import_chosen
from memrl.config.composer import hydra_compose
from memrl.config.env_overrides import expand
from memrl.config.models import Common, Config, check
from memrl.config.nodes import add_nodes, with_options
from memrl.config.quoting import with_quotes
from memrl.errors import install_command, nearest
from memrl.plugins import hint_for
from memrl.run.directory import Command

C = TypeVar("C", bound=Common)
FOLDER_FLAGS: Final = ("--config-dir", "-cd")  # name a folder of YAML files
_FIT: Final = "it teaches a memory a task; memrl train trains an agent in an environment"
_TRAIN: Final = "it trains an agent in an environment; memrl fit teaches a memory a task"
_OF_OTHERS: Final[dict[Command, dict[str, str]]] = {  # groups that a command has not
    "train": {"task": _TRAIN},
    "fit": dict.fromkeys(("env", "agent", "run"), _FIT),
}


def _of_hydra() -> dict[str, dict[str, str]]:
    """Choices of Hydra's groups that come with packages, and how these are installed."""
    sweep = install_command("sweep")
    launchers = dict.fromkeys(("joblib", "submitit_local", "submitit_slurm"), sweep)
    return {
        "hydra/launcher": {**launchers, "ray": "pip install hydra-ray-launcher"},
        "hydra/sweeper": {"optuna": sweep},
    }


def compose(overrides: Iterable[str] = ()) -> Config:
    """The checked config that ``memrl train OVERRIDES`` runs with.

    Raises:
        ValueError: an override that Hydra or the config's models refuse, in one sentence.
    """
    return compose_as(Config, expand(list_of_words(overrides, "memrl.compose")))


def list_of_words(overrides: Iterable[str], call: str) -> list[str]:
    """Overrides as a list.

    Raises:
        ValueError: one string, or what is no string, was given to the function ``call``.
    """
    if isinstance(overrides, str) or not isinstance(overrides, Iterable):
        example = [overrides] if isinstance(overrides, str) else ["seed=3"]
        raise ValueError(f"{call}({overrides!r}): a list is wanted, as in {call}({example})")
    words = [*overrides]
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f'{call}: {word!r} is no word such as "seed=3"')
    return words


def compose_as(model: type[C], overrides: Iterable[str]) -> C:
    """The checked config that overrides make of the root config of a command.

    Modules that the overrides name, as ``memory=leaky:Leaky`` does, are imported.

    Raises:
        ValueError: an override that Hydra or the model refuse, in one sentence; or code of one's
            own that is not there, does not import, or is no such class.
    """
    words = words_for_hydra(overrides, model)
    try:
        return resolve(hydra_compose(model.root, words), model)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(sentence(error, model, words)) from None


def words_for_hydra(overrides: Iterable[str], model: type[Common]) -> list[str]:
    """Overrides as Hydra wants them; the classes that they name become choices of its groups.

    Raises:
        ValueError: a folder of YAML files, a module or a class that is not there.
    """
    words = with_options(with_own_folders(with_quotes(overrides)), model.menus)
    add_nodes(words, model.menus)
    return words


def with_own_folders(words: Iterable[str]) -> list[str]:
    """Words with the flag ``--config-dir DIR``, a folder of one's own YAML files, as an override.

    Raises:
        ValueError: there is no such folder.
    """
    rest, folders, left = [], [], iter(words)
    for word in left:
        flag, _, folder = word.partition("=")
        if flag in FOLDER_FLAGS:
            folders.append(Path(folder or next(left, "")).absolute())
        else:
            rest.append(word)
    for path in folders:
        if not path.is_dir():
            raise ValueError(f"--config-dir {path}: there is no such folder")
    paths = ",".join(f"'file://{path}'" for path in folders)
    return rest + ([f"hydra.searchpath=[{paths}]"] if folders else [])


def resolve(composed: DictConfig, model: type[C]) -> C:
    """Check what Hydra composed of a person's words and files, and import what these name.

    Raises:
        ValueError: a key without a default was not given, or one holds what its model refuses; or
            code of one's own that is not there, does not import, or is no such class.
    """
    try:
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ValueError(sentence(error, model)) from None
    config = cast("dict[str, Any]", plain)
    import_chosen(config, model.menus)
    return check(config, model)


def sentence(error: Exception, model: type[Common], words: Iterable[str] = ()) -> str:
    """What a user did wrong with ``words``, out of an error of Hydra or OmegaConf."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if (plugins := _of_hydra().get(group)) and choice in plugins:
            return f"{group}={choice} needs a package: {plugins[choice]}"
        menu = model.menus.get(f"{group}.name") or model.menus.get(f"{group}.kind")
        known = sorted({*error.options, *(menu.words() if menu else ()), *(plugins or ())})
        hint = hint_for(group, choice, known)
        return f"unknown {group} {choice!r}{hint} (known: {', '.join(known)})"
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is no change to the config: write KEY=VALUE, as in seed=3"
    text = " ".join(str(error).split())
    if asked := re.search(r"Could not override '(\w+)'\. No match in the defaults list", text):
        if asked[1] in _OF_OTHERS[model.command]:
            return f"memrl {model.command} has no {asked[1]}: {_OF_OTHERS[model.command][asked[1]]}"
        return f"{asked[1]} is not chosen yet: write +{asked[1]}=NAME"
    if key := re.search(r"Could not override '([^']+)'", text):
        command = "memrl config --fit" if model.command == "fit" else "memrl config"
        known = _keys(model.root, words)
        return f"unknown key {key[1]}{nearest(key[1], known)} ({command} prints every key)"
    if missing := re.search(r"Missing mandatory value: .* full_key: (\S+)", text):
        return f"{missing[1]} has no default: write {missing[1]}=…"
    if many := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{many[1]} holds several values: add -m to train once for each of them"
    return text


def _keys(root: str, words: Iterable[str]) -> list[str]:
    """Every dotted key of a root config with the groups that ``words`` choose, such as memory."""
    chosen = [
        word
        for word in with_own_folders(words)
        if re.fullmatch(r"\+?(memory|agent|env|task|run)=[\w.:-]+|hydra\.searchpath=.*", word)
    ]
    return list(_dotted(OmegaConf.to_container(hydra_compose(root, chosen))))


def _dotted(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
