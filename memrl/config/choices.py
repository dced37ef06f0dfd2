"""What a config chooses by a word: classes of a menu, and the modules in which they lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from memrl.envs.make import is_known, own_module
from memrl.errors import RunError
from memrl.plugins import how_to_name, import_plugin, places_of
from memrl.registry import Registry

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
    for _, word, menu in _chosen(config, menus):
        if menu is not None:
            menu.named(word)
        elif module := _module_of_id(word):
            import_plugin(module)


def modules_of(config: Mapping[str, Any], menus: Menus) -> dict[str, str]:
    """The modules that a person must name to open a run of this config, and their folders."""
    modules = []
    for _, word, menu in _chosen(config, menus):
        module = own_module(word) if menu is None else menu.module_of(word)
        modules += [] if module is None else [module]
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
    modules: list[str] = []
    words = []
    for key, word, menu in _chosen(config, menus):
        if menu is not None:
            missing = menu.missing(word, places)
        else:
            missing = _missing_for(word, places)
        modules += missing
        words += [f"{key}={word}"] if missing else []
    if modules:
        how = how_to_name(dict.fromkeys(modules), places)
        raise RunError(f"{what} was made with {' and '.join(words)}: {how}")


def _missing_for(id: str, places: Mapping[str, str]) -> list[str]:
    """The modules that must be imported before Gymnasium can make an id."""
    module = _module_of_id(id)
    needed = [] if is_known(id) else [module] if module else [*places]
    return [name for name in needed if name not in sys.modules]


def _module_of_id(id: str) -> str | None:
    return id.rpartition(":")[0] or None


def _chosen(config: Mapping[str, Any], menus: Menus) -> Iterator[Choice]:
    for key, menu in menus.items():
        node: Any = config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, str) and (menu is None or node != menu.nothing):
            yield Choice(key, node, menu)
        elif menu is None and isinstance(node, list):  # tasks: an id, then options
            yield from (Choice(key, text.split()[0], menu) for text in node if str(text).split())
