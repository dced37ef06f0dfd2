"""What may be left out on the command line when a task is named: its family, and ``++``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memrl.config.composer import hydra_compose
from memrl.config.models import TRAIN, EnvConfig
from memrl.config.quoting import list_of_texts
from memrl.config.task_lists import is_list, listed_tasks
from memrl.envs.make import GYMNASIUM, family_of, options
from memrl.errors import nearest

_ID: Final = re.compile(r"[A-Z/:]|-v\d+$")
_CHOOSES: Final = re.compile(r"\+?(env|run)=[\w-]+|env\.(id|family)=.+")
_FILE: Final = re.compile(r"\+?(env|run)=")
_COMMON: Final = frozenset(EnvConfig.model_fields)  # keys that every task has


def expand(overrides: Iterable[str]) -> list[str]:
    """Write overrides of ``memrl train`` as Hydra wants them.

    ``env=ID`` becomes ``env=<family> env.id=ID``; a sweep ``env=ID,ID`` stays a sweep. An ID has a
    capital, a version, or names its module; other words are files of ``configs/env``. Several
    tasks ``env=[ID,ID env.NAME=VALUE]`` become ``env.tasks``, and the first is ``env.id``.
    ``env.NAME=VALUE`` gets the ``++`` that Hydra asks for where NAME is an option that the task
    takes and the file of its family leaves out; and with ``env.family=gymnasium`` options are
    dropped that the file holds for the tensor implementation alone.

    Raises:
        ValueError: the ids of a sweep or a list belong to several families of environments; a list
            of fewer than two; an option that the task does not take, or one of a task that does not
            exist.
    """
    words = _with_families(overrides)
    named = [word for word in words if word.startswith("env.") and _name(word) not in _COMMON]
    if not named and f"env.family={GYMNASIUM}" not in words:
        return words
    task = _composed(words)
    if task is None:
        return words
    added = {word: f"++{word}" for word in named if _is_added(_name(word), task)}
    dropped = [word for word in _dropped(task, named) if word not in words]
    return [added.get(word, word) for word in words] + dropped


def _with_families(overrides: Iterable[str]) -> list[str]:
    expanded: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "env" and is_list(value):
            tasks = listed_tasks("env", value)
            ids = [id for id, *_ in tasks]
            expanded += [f"env={_family(value, ids)}", f"env.id={ids[0]}"]
            expanded.append(list_of_texts("env.tasks", map(" ".join, tasks)))
            continue
        ids = value.split(",")
        if key != "env" or not all(_ID.search(word) for word in ids):
            expanded.append(override)
            continue
        expanded += [f"env={_family(value, ids)}", f"env.id={value}"]
    return expanded


def _family(value: str, ids: Iterable[str]) -> str:
    """The family of all ids of ``env=value``."""
    found = sorted({family_of(id) for id in ids})
    if len(found) > 1:
        raise ValueError(f"env={value} names tasks of several families: {', '.join(found)}")
    return found[0]


def _composed(words: Sequence[str]) -> Mapping[str, Any] | None:
    """The group ``env`` as words choose it, the first of a sweep's ids; None if Hydra must say."""
    chosen = [word.split(",")[0] for word in words if _CHOOSES.fullmatch(word)]
    if any(_FILE.match(word) and word not in chosen for word in words):
        return None  # a sweep over files
    try:
        task: Any = OmegaConf.to_container(hydra_compose(TRAIN, chosen).env)
    except (HydraException, OmegaConfBaseException):  # Hydra meets it again, and it is explained
        return None
    return dict(task)


def _is_added(name: str, task: Mapping[str, Any]) -> bool:
    """Whether an option is missing in the file of the family.

    Raises:
        ValueError: the task does not take it, or there is no such task.
    """
    if name in task:
        return False
    id, family = task["id"], task["family"]
    taken = options(id, family=family)
    if name in taken:
        return True
    known = [*task, *(option for option in taken if option not in task)]
    hint = nearest(f"env.{name}", [f"env.{key}" for key in known])
    unseen = f"; +env.{name}=… is handed on unseen" if family == GYMNASIUM else ""
    raise ValueError(f"unknown key env.{name}{hint} (keys of {id}: {', '.join(known)}{unseen})")


def _dropped(task: Mapping[str, Any], named: Sequence[str]) -> list[str]:
    """Words that take out what a package's own task does not know of a tensor family's file."""
    if task["family"] != GYMNASIUM:
        return []
    taken, asked = options(task["id"], family=GYMNASIUM), {_name(word) for word in named}
    foreign = [key for key in task if key not in _COMMON and key not in taken]
    for key in foreign:
        if key in asked:
            raise ValueError(
                f"env.{key} is no option of {task['id']} with env.family={GYMNASIUM} "
                f"(it takes: {', '.join(taken)})"
            )
    return [f"~env.{key}" for key in foreign]


def _name(word: str) -> str:
    """The option of ``env.NAME=VALUE`` or ``env.NAME.KEY=VALUE``."""
    return word.partition("=")[0].removeprefix("env.").partition(".")[0]
