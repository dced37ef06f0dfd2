"""User-defined classes in files of `MemoryPPO`: the modules a file needs, and who names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.optim import Optimizer

from memrl.memory.registry import REGISTRY
from memrl.nn.encoder import ENCODERS
from memrl.plugins import import_plugin, places_of
from memrl.registry import Registry

DEFAULT_MEMORY: Final = "lstm"
INSTALLED: Final = ("torch", "stable_baselines3")  # packages whose modules need no naming


def _menu(option: str, plural: str, base: type[Any]) -> Registry[Any]:
    kind = option.removesuffix("_class").removesuffix("_fn").replace("_", " ")
    group = f"memrl.sb3.{option}"
    return Registry(kind, plural, base, group, key=f"policy_kwargs.{option}")


EXTRACTORS: Final = _menu("features_extractor_class", "features extractors", BaseFeaturesExtractor)
ACTIVATIONS: Final = _menu("activation_fn", "activations", nn.Module)
OPTIMIZERS: Final = _menu("optimizer_class", "optimizers", Optimizer)
MENUS: Final[Mapping[str, Registry[Any]]] = {
    "memory": REGISTRY,
    "encoder": ENCODERS,
    "features_extractor_class": EXTRACTORS,
    "activation_fn": ACTIVATIONS,
    "optimizer_class": OPTIMIZERS,
}


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
        if words.get(option) is not None or (option == "memory" and option in words):
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
    return places_of([name for name in modules if name and name.partition(".")[0] not in INSTALLED])


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
