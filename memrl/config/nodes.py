"""Nodes for Hydra of classes that have no YAML: their options, read off the constructor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from memrl.config.choices import Menus
from memrl.registry import Registry, is_built_in

_MISSING: Final = "???"  # as OmegaConf has it


def add_nodes(overrides: Iterable[str], menus: Menus) -> None:
    """Make ``memory=leaky:Leaky`` a choice for Hydra, and ``memory.decay`` a key of it.

    Args:
        overrides: what a person wrote: the modules named there are imported.
        menus: by the key of each group's word.

    Raises:
        ValueError: a module that does not import, or a class that is no such thing.
    """
    groups = {key.partition(".")[0]: key for key in menus if menus[key] and _names_a_group(key)}
    for key, word in _written(overrides):
        if key in groups.values():
            group = key.partition(".")[0]
            raise ValueError(f"{key}={word} keeps the options of another: write {group}={word}")
        menu = menus[groups[key]] if key in groups else None
        if menu is None or not menu.knows(word):
            continue
        cls = menu.named(word)
        if ":" in word or not is_built_in(cls):  # the others have a file
            _store(groups[key], word, menu)


def with_options(words: Iterable[str], menus: Menus) -> list[str]:
    """Words as Hydra wants them: with ``++`` before options of classes that are in no group.

    ``policy.encoder=mine:Mine`` is no choice of Hydra's, and no file holds its options.
    """
    nodes = tuple(_options_of(key) for key in menus if menus[key] and not _names_a_group(key))
    return [
        f"++{word}" if word.startswith(nodes) and word.partition("=")[0] not in menus else word
        for word in words
    ]


def _names_a_group(key: str) -> bool:
    """Whether the word at a key is that of a Hydra group: ``memory.name``, ``agent.kind``."""
    return re.fullmatch(r"\w+\.(name|kind)", key) is not None


def _options_of(key: str) -> str:
    """Where the options of the class at a key lie: beside ``kind``, or below a key of theirs."""
    node, _, last = key.rpartition(".")
    return f"{node}." if last == "kind" else f"{key}_options."


def _written(overrides: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Keys or groups with the words that overrides give them, those of a sweep one by one."""
    parser = OverridesParser.create()
    for word in overrides:
        if not re.match(r"[+\w]", word):
            continue  # a flag, or what takes a key out
        try:
            override = parser.parse_override(word)
        except HydraException:
            continue  # Hydra meets it again, and it is explained
        value = override.value()
        values = value.list if isinstance(value, ChoiceSweep) else [value]
        yield from ((override.key_or_group, str(each)) for each in values)


def _store(key: str, word: str, menu: Registry[Any]) -> None:
    """Give Hydra a node of a class: its word, and its options with their defaults."""
    group, _, name = key.partition(".")
    fields = menu.schema(word).model_fields
    if "name" in fields and name == "name":
        raise ValueError(f"{group}={word}: an option cannot be called 'name', which is the class's")
    try:
        options = {option: _default(field) for option, field in fields.items() if option != name}
        node = {name: word, **options}
        ConfigStore.instance().store(word, node, group=group)
    except (PydanticSerializationError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the defaults of {group}={word} are no data: {reason}") from None


def _default(field: FieldInfo) -> Any:
    """The default of an option as YAML could hold it."""
    if field.is_required():
        return _MISSING
    return TypeAdapter(Any).dump_python(field.get_default(call_default_factory=True), mode="json")
