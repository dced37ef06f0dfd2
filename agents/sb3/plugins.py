"""Memories of one's own in files of `MemoryPPO`: the modules a file needs, and who names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from memrl.memory.registry import REGISTRY
from memrl.plugins import import_plugin, places_of

DEFAULT: Final = "lstm"


def with_word(policy_kwargs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """``policy_kwargs`` as a file can hold them: a memory that is a class becomes its word.

    Raises:
        ValueError: a class that is no memory.
    """
    if policy_kwargs is None or "memory" not in policy_kwargs:
        return None if policy_kwargs is None else dict(policy_kwargs)
    return {**policy_kwargs, "memory": REGISTRY.word(policy_kwargs["memory"])}


def plugins_of(policy_kwargs: Mapping[str, Any] | None) -> dict[str, str]:
    """The modules that must be named to load such a policy, and the folders they lie in."""
    module = REGISTRY.module_of((policy_kwargs or {}).get("memory", DEFAULT))
    return places_of([] if module is None else [module])


def need_plugins(
    policy_kwargs: Mapping[str, Any] | None, places: Mapping[str, str], named: Iterable[str]
) -> None:
    """Import the modules that a person ``named``, and refuse a policy that needs others.

    Raises:
        ValueError: a module that is not there, or one that is neither named nor imported.
    """
    for module in named:
        import_plugin(module, [places[module]] if module in places else [])
    word = (policy_kwargs or {}).get("memory", DEFAULT)
    if missing := REGISTRY.missing(word, places):
        where = "".join(f" (it was in {places[name]})" for name in missing if name in places)
        raise ValueError(
            f"the file holds a policy with memory {word!r}: load it with plugins={missing}, or "
            f"import {', '.join(missing)} first{where}"
        )
