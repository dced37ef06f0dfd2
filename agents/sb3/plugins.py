"""User-defined classes in files of `MemoryPPO`: the modules a file needs, and who names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from memrl.memory.registry import REGISTRY
from memrl.nn.encoder import ENCODERS
from memrl.plugins import import_plugin, places_of
from memrl.registry import Registry

DEFAULT_MEMORY: Final = "lstm"
MENUS: Final[Mapping[str, Registry[Any]]] = {"memory": REGISTRY, "encoder": ENCODERS}


class Choice(NamedTuple):
    """A word of ``policy_kwargs``."""

    option: str
    word: str
    menu: Registry[Any]


def with_class_names(policy_kwargs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """``policy_kwargs`` with classes replaced by their names, so that they can be saved.

    Raises:
        ValueError: a class is not what its option takes.
    """
    if policy_kwargs is None:
        return None
    words = dict(policy_kwargs)
    for option, menu in MENUS.items():
        if option in words and (option, words[option]) != ("encoder", None):
            words[option] = menu.word(words[option])
    return words


def import_named(policy_kwargs: Mapping[str, Any] | None) -> None:
    """Import what the words of ``policy_kwargs`` name, which a person wrote.

    Raises:
        ValueError: a module that does not import, or a class that is no such thing.
    """
    for _, word, menu in _chosen(policy_kwargs):
        menu.named(word)


def plugin_folders(policy_kwargs: Mapping[str, Any] | None) -> dict[str, str]:
    """The modules needed to load such a policy, with the folder of each."""
    modules = [menu.module_of(word) for _, word, menu in _chosen(policy_kwargs)]
    return places_of([module for module in modules if module is not None])


def import_plugins(
    policy_kwargs: Mapping[str, Any] | None, places: Mapping[str, str], named: Iterable[str]
) -> None:
    """Import the modules that the caller ``named`` and check that the policy needs no others.

    Raises:
        ValueError: a named module does not exist, or a needed one is neither named nor imported.
    """
    for module in named:
        import_plugin(module, [places[module]] if module in places else [])
    for option, word, menu in _chosen(policy_kwargs):
        if missing := menu.missing(word, places):
            where = "".join(f" (it was in {places[name]})" for name in missing if name in places)
            raise ValueError(
                f"the file contains a policy with {option} {word!r}: load it with "
                f"plugins={missing}, or import {', '.join(missing)} first{where}"
            )


def _chosen(policy_kwargs: Mapping[str, Any] | None) -> Iterator[Choice]:
    given = {"memory": DEFAULT_MEMORY, **(policy_kwargs or {})}
    for option, menu in MENUS.items():
        if given.get(option):
            yield Choice(option, given[option], menu)
