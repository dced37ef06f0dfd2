"""User-defined memories in files of `MemoryPPO`: which modules a file needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from memrl.memory.registry import REGISTRY
from memrl.plugins import import_plugin, places_of

DEFAULT_MEMORY: Final = "lstm"


def with_memory_name(policy_kwargs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """``policy_kwargs`` with a memory class replaced by its name, so that they can be saved.

    Raises:
        ValueError: the class is not a memory.
    """
    if policy_kwargs is None or "memory" not in policy_kwargs:
        return None if policy_kwargs is None else dict(policy_kwargs)
    return {**policy_kwargs, "memory": REGISTRY.word(policy_kwargs["memory"])}


def plugin_folders(policy_kwargs: Mapping[str, Any] | None) -> dict[str, str]:
    """The modules needed to load such a policy, with the folder of each."""
    module = REGISTRY.module_of((policy_kwargs or {}).get("memory", DEFAULT_MEMORY))
    return places_of([] if module is None else [module])


def import_plugins(
    policy_kwargs: Mapping[str, Any] | None, places: Mapping[str, str], named: Iterable[str]
) -> None:
    """Import the modules that the caller ``named`` and check that the policy needs no others.

    Raises:
        ValueError: a named module does not exist, or a needed one is neither named nor imported.
    """
    for module in named:
        import_plugin(module, [places[module]] if module in places else [])
    word = (policy_kwargs or {}).get("memory", DEFAULT_MEMORY)
    if missing := REGISTRY.missing(word, places):
        where = "".join(f" (it was in {places[name]})" for name in missing if name in places)
        raise ValueError(
            f"the file contains a policy with memory {word!r}: load it with plugins={missing}, or "
            f"import {', '.join(missing)} first{where}"
        )
