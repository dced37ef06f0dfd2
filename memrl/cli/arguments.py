"""KEY=VALUE words of a command as values that were checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from annotated_types import Ge
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from memrl.config.models import check
from memrl.options import Strict, options_of

M = TypeVar("M", bound=Strict)
R = TypeVar("R")


class MemoryOptions(Strict):
    """What may change of a trained memory."""

    slots: Annotated[int, Ge(1)] | None = None  # None: as many as at the checkpoint


def values(words: Sequence[str]) -> dict[str, Any]:
    """What the words say, unchecked.

    Raises:
        ValueError: a word that is no KEY=VALUE, or whose value cannot be read.
    """
    for word in words:
        if "=" not in word:
            raise ValueError(f"{word!r} is no option: write KEY=VALUE, as in seed=3")
    try:
        said: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(f"options {' '.join(words)}: {error}") from None
    return dict(said)


def changes_of(words: Sequence[str], allowed: Sequence[str], path: object) -> dict[str, Any]:
    """What the words of a ``--resume`` change.

    Raises:
        ValueError: a key other than those that may change, or a word without a value.
    """
    changes = values(words)
    if changes.keys() - set(allowed):
        other = ", ".join(sorted(changes.keys() - set(allowed)))
        raise ValueError(
            f"--resume continues {path} as configured: only {' and '.join(allowed)} may change, "
            f"not {other}"
        )
    return changes


def parse(model: type[M], words: Sequence[str]) -> M:
    """The words as options.

    Raises:
        ValueError: an unknown key, or a value that is not allowed.
    """
    paths, rest = {}, []
    for word in words:
        key, equals, value = word.partition("=")
        field = model.model_fields.get(key)
        if equals and value and field is not None and _takes_path(field.annotation):
            paths[key] = value  # as it was written: what looks like YAML is part of a name
        else:
            rest.append(word)
    return check({**values(rest), **paths}, model)


def _takes_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_takes_path, get_args(annotation)))


def file_to_write(key: str, path: Path, *, suffixes: Sequence[str], name: str) -> Path:
    """A file of one of these formats; in a folder that exists, one called ``name``.

    Raises:
        ValueError: another suffix, or none.
    """
    if path.is_dir():
        return path / name
    if path.suffix.lower() not in suffixes:
        allowed = f"{', '.join(suffixes[:-1])} and {suffixes[-1]}"
        raise ValueError(
            f"{key}={path} ends in {path.suffix!r}, allowed: {allowed}, or a folder that exists"
        )
    return path


def call(function: Callable[..., R], words: Sequence[str], **more: Any) -> R:
    """``function`` with the words as its arguments; keyword-only ones are no options.

    Raises:
        ValueError: an unknown key, or a value that is not allowed.
    """
    model = options_of(function, Parameter.POSITIONAL_OR_KEYWORD)
    checked = check(values(words), model)
    return function(**{key: getattr(checked, key) for key in model.model_fields}, **more)
