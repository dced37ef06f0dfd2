"""What a config chooses by a word: classes of a menu, and the modules in which they lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from memrl.errors import RunError
from memrl.plugins import how_to_name, import_plugin, places_of
from memrl.registry import NotNamedError, Registry, is_built_in

# The keys whose values are words of a menu, by key; None: a Gymnasium id, perhaps ``module:Id``.
Menus = Mapping[str, Registry[Any] | None]


class Choice(NamedTuple):
    """One word of a config."""

    key: str  # such as memory.name
    word: str
    menu: Registry[Any] | None


def import_chosen(config: Mapping[str, Any], menus: Menus) -> None:
    """Import what a config that a person wrote, or overrode, names.

    Raises:
        ValueError: a module that does not import, or a class that is no such thing.
    """
    for choice in _chosen(config, menus):
        module, colon, _ = choice.word.rpartition(":")
        if choice.menu is not None:
            choice.menu.named(choice.word)
        elif colon:
            import_plugin(module)


def modules_of(config: Mapping[str, Any], menus: Menus) -> dict[str, str]:
    """The modules that a person must name to open a run of this config, and their folders."""
    modules = []
    for _, word, menu in _chosen(config, menus):
        module, colon, _ = word.rpartition(":")
        if menu is None and colon:
            modules.append(module)
        elif menu is not None and not is_built_in(menu.find(word)) and not menu.offers(word):
            modules.append(module or menu.find(word).__module__)
    return places_of(modules)


def refuse_unnamed(
    config: Mapping[str, Any], menus: Menus, places: Mapping[str, str], what: str
) -> None:
    """Refuse a saved config that needs modules which nobody named: nothing is imported for it.

    Args:
        config: as it was saved.
        menus: by the key of each word.
        places: modules that it was made with, and the folders in which they were.
        what: whose config it is, for the sentence.

    Raises:
        RunError: it does; the sentence says how to name them.
    """
    modules: dict[str, str | None] = {}
    words = []
    for key, word, menu in _chosen(config, menus):
        needed = list(_needed(word, menu, places))
        modules |= {name: places.get(name) for name in needed}
        words += [f"{key}={word}"] if needed else []
    if modules:
        known = {name: place for name, place in modules.items() if place is not None}
        where = known if len(known) == len(modules) else list(modules)
        raise RunError(f"{what} was made with {' and '.join(words)}: {how_to_name(where)}")


def _needed(word: str, menu: Registry[Any] | None, places: Mapping[str, str]) -> Iterator[str]:
    """Modules that must be imported before a word means something."""
    module, colon, _ = word.rpartition(":")
    if menu is None:
        if colon and module not in sys.modules:
            yield module
        return
    if menu.knows(word):
        try:
            menu.find(word)
        except NotNamedError as error:
            yield error.module
    else:  # a name that some module registers
        yield from (name for name in places if name not in sys.modules)


def _chosen(config: Mapping[str, Any], menus: Menus) -> Iterator[Choice]:
    for key, menu in menus.items():
        node: Any = config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, str):
            yield Choice(key, node, menu)
